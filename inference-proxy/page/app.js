// What is served, drawn from /v1/models, and a form a model. Text goes in as text nodes only, so no name or answer can
// become markup. The list is asked for anew every few seconds; a card is only redrawn where its model has changed, and
// its form never, so nothing moves under somebody's hands.

const EVERY_MS = 5000;

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const bytes = (n) => {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (n >= 1024 && unit < 3) [n, unit] = [n / 1024, unit + 1];
  return `${unit ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[unit]}`;
};
const words = (word) => word.replaceAll("_", " ");
const badge = (word) => h("span", { class: `badge ${word}` }, words(word));
const shape = (spec) => `${spec.datatype} [${spec.shape.map((n) => (n < 0 ? "any" : n)).join(", ")}]`;
const facts = (pairs) =>
  h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

// --- what is served -------------------------------------------------------------------------------------------------

function version(one) {
  const about = one.parameters;
  const since = new Date(one.since_ms);
  const line = h(
    "div",
    { class: "line" },
    h("strong", {}, `version ${one.version}`),
    badge(one.role),
    badge(one.state),
    one.breaker && one.breaker !== "closed" ? badge(one.breaker) : null,
    h("time", { class: "task", datetime: since.toISOString() }, `since ${since.toLocaleString()}`),
  );
  return h("li", { class: "version" }, line, one.reason ? h("p", { class: "why" }, one.reason) : null, about ? details(one, about) : null);
}

function details(one, about) {
  if (one.upstream) return facts([["Runs at", one.upstream]]);
  const sessions = `${about.instances} of ${about.intra_threads} thread${about.intra_threads === 1 ? "" : "s"}`;
  const files = Object.entries(about.files ?? {});
  return [
    facts([
      ["Runs on", [about.provider, about.precision].filter(Boolean).join(", ")],
      ["Sessions", about.sessions_why ? `${sessions}: ${about.sessions_why}` : sessions],
      ["Batching", about.batching?.why],
      ["Memory", `about ${bytes(about.memory_bytes)}; files of ${bytes(about.model_bytes)}, loaded in ${about.load_seconds.toFixed(1)} s, ${about.checks_passed} checks passed`],
    ]),
    h(
      "details",
      {},
      h("summary", {}, "Inputs, outputs, files"),
      facts([
        ...one.inputs.map((spec) => [`takes ${spec.name}`, shape(spec)]),
        ...one.outputs.map((spec) => [`gives ${spec.name}`, shape(spec)]),
        ["labels", about.labels?.join(", ")],
        ["ONNX Runtime", about.onnxruntime],
      ]),
      h("dl", { class: "files" }, files.map(([path, hash]) => [h("dt", {}, path), h("dd", {}, h("code", {}, hash))])),
    ),
  ];
}

// --- a form to try it -----------------------------------------------------------------------------------------------

/** A value for each input: zeros where numbers are wanted, of the least shape. */
function example(one) {
  const of = (spec) => {
    const size = spec.shape.map((n) => (n < 0 ? 1 : n));
    const count = size.reduce((product, n) => product * n, 1);
    const value = { BYTES: "some text", BOOL: false }[spec.datatype] ?? 0;
    return { name: spec.name, shape: size, datatype: spec.datatype, data: Array(Math.min(count, 4096)).fill(value) };
  };
  return JSON.stringify({ inputs: one.inputs.map(of) });
}

function form(model) {
  const runs = model.versions.filter((one) => one.parameters && one.state === "ready");
  if (!runs.length) return null;
  const main = runs.find((one) => one.role === "primary") ?? runs[0];
  const id = `try-${model.name}`;
  const text = h("textarea", { id, name: "body", spellcheck: "false", "aria-describedby": `${id}-keys` });
  const caption = h("label", { class: "field", for: id });
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const button = h("button", { type: "submit" }, "Ask");
  const way = (value, name, checked) => h("label", {}, h("input", { type: "radio", name: "way", value, checked }), ` ${name}`);
  const which = h(
    "select",
    { name: "version", "aria-label": "Version" },
    h("option", { value: "" }, "whoever answers"),
    runs.map((one) => h("option", { value: one.version }, `version ${one.version}, ${one.role}`)),
  );
  const drafts = { predict: "where is my parcel", infer: example(main) };
  let chosen = main.takes_text ? "predict" : "infer";
  const choose = (value) => {
    drafts[chosen] = text.value || drafts[chosen];
    chosen = value;
    text.value = drafts[value];
    caption.textContent = value === "predict" ? "Text; several lines are several texts" : "The body, as JSON";
    which.hidden = value === "predict";
  };
  const ask = async (event) => {
    event.preventDefault();
    button.disabled = true;
    await show(answer, model.name, chosen, text.value, chosen === "infer" ? which.value : "");
    button.disabled = false;
  };
  const made = h(
    "form",
    { onsubmit: ask, onchange: (event) => event.target.name === "way" && choose(event.target.value), "aria-label": `Try ${model.name}` },
    h("h3", {}, "Try it"),
    main.takes_text ? h("fieldset", {}, h("legend", {}, "How to ask"), way("predict", "predict, with text", true), way("infer", "infer, with tensors", false)) : null,
    caption,
    text,
    h("div", { class: "go" }, button, which, h("span", { class: "keys", id: `${id}-keys` }, h("kbd", {}, "Ctrl"), " + ", h("kbd", {}, "Enter"), " asks too; it is observed like any request")),
    answer,
  );
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) made.requestSubmit();
  });
  choose(chosen);
  return made;
}

async function show(place, model, way, text, version) {
  const name = encodeURIComponent(model);
  const at = version ? `/versions/${encodeURIComponent(version)}` : "";
  const path = way === "predict" ? `/v1/models/${name}/predict` : `/v2/models/${name}${at}/infer`;
  const lines = text.split("\n").filter((line) => line.trim());
  const body = way === "predict" ? JSON.stringify(lines.length === 1 ? { text: lines[0] } : { texts: lines }) : text;
  const began = performance.now();
  try {
    const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    const took = performance.now() - began;
    const told = await response.json();
    if (!response.ok) {
      place.replaceChildren(h("p", { class: "wrong" }, `${response.status}: ${told.error ?? "no reason was given"}`));
      return;
    }
    const who = response.headers.get("driftline-model-version");
    const cached = told.from_cache || told.parameters?.from_cache ? ", given before" : "";
    const head = h("p", {}, `version ${who ?? told.model_version}, ${took.toFixed(1)} ms${cached}; observed as `, h("code", {}, response.headers.get("driftline-id") ?? ""));
    const found = (told.predictions ?? []).map(prediction);
    const raw = h("details", { open: found.length === 0 }, h("summary", {}, "The whole answer"), h("pre", { tabindex: "0" }, JSON.stringify(told, null, 2)));
    place.replaceChildren(head, ...found, raw);
  } catch (error) {
    place.replaceChildren(h("p", { class: "wrong" }, `no answer: ${error.message}`));
  }
}

function prediction(one) {
  if (one.scores) {
    const scores = Object.entries(one.scores).slice(0, 10);
    const row = ([label, score]) =>
      h("li", {}, h("span", {}, label), h("meter", { min: 0, max: 1, value: score, "aria-label": label }), h("span", {}, score.toFixed(3)));
    return h("div", {}, h("p", { class: "told" }, one.labels ? one.labels.join(", ") || "none holds" : one.label), h("ul", { class: "scores" }, scores.map(row)));
  }
  if (one.entities) {
    const row = (entity) => h("li", {}, h("strong", {}, entity.text), ` ${entity.label}, ${entity.score.toFixed(3)}, characters ${entity.start} to ${entity.end}`);
    return one.entities.length ? h("ul", {}, one.entities.map(row)) : h("p", {}, "no entity was found");
  }
  const numbers = one.embedding ?? one.values ?? [];
  return h("p", {}, `${numbers.length} numbers: ${numbers.slice(0, 6).map((n) => n.toFixed(4)).join(", ")}${numbers.length > 6 ? ", …" : ""}`);
}

// --- and again ------------------------------------------------------------------------------------------------------

const drawn = new Map();

/** Cards by name: head and versions are redrawn where they changed, forms where what can be asked changed. */
function draw(models) {
  const main = document.getElementById("models");
  if (!models.length) return main.replaceChildren(h("p", { class: "empty" }, "There is no model in the folder that the configuration names as models_dir."));
  main.querySelector(":scope > .empty, :scope > noscript")?.remove();
  for (const name of [...drawn.keys()].filter((name) => !models.some((model) => model.name === name))) {
    drawn.get(name).card.remove();
    drawn.delete(name);
  }
  for (const model of models) {
    const card = drawn.get(model.name)?.card ?? h("article", { class: "model", "aria-label": model.name }, h("div", {}), h("div", {}));
    const [head, trial] = card.children;
    const before = drawn.get(model.name) ?? {};
    const now = { card, text: JSON.stringify(model), asks: JSON.stringify(model.versions.map((one) => [one.version, one.role, one.state, one.inputs])) };
    if (now.text !== before.text) {
      const open = [...head.querySelectorAll("details")].map((one) => one.open);
      const task = model.versions.find((one) => one.parameters?.task)?.parameters.task;
      head.replaceChildren(h("header", {}, h("h2", {}, model.name), task ? h("span", { class: "task" }, task) : ""), h("ul", { class: "versions" }, model.versions.map(version)));
      head.querySelectorAll("details").forEach((one, i) => (one.open = open[i] ?? false));
    }
    if (now.asks !== before.asks) trial.replaceChildren(form(model) ?? "");
    if (!card.isConnected) main.append(card);
    drawn.set(model.name, now);
  }
}

async function refresh() {
  const banner = document.getElementById("banner");
  try {
    const response = await fetch("/v1/models");
    const told = await response.json();
    if (!response.ok) throw new Error(told.error ?? `status ${response.status}`);
    draw(told.models);
    const serves = told.models.filter((model) => model.versions.some((one) => one.role === "primary" && one.state === "ready"));
    document.getElementById("ready").textContent = `${serves.length} of ${told.models.length} models serve`;
    banner.hidden = true;
  } catch (error) {
    banner.textContent = `The proxy does not say what it serves: ${error.message}. What stands below may be old.`;
    banner.hidden = false;
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
