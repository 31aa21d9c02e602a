// The page: asks the API every two seconds, keeps what it last heard, and draws it. The address after `#` says what is
// open (`#/model` or `#/model/feature`), so that an alert can link to it.

import { h, show } from "./dom.js";
import { span, clock, plural } from "./format.js";
import { icon } from "./state.js";
import { overview, noModels } from "./overview.js";
import { detail, detailPending } from "./detail.js";

const EVERY_MS = 2000;
const GIVE_UP_MS = 8000;
const at = (id) => document.getElementById(id);

const seen = { overview: null, receivedAt: 0, failure: null, detail: null, detailFailure: null };
let opener = null;

/** What the address says is open. */
function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  const decode = (part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return { model: parts[0] ? decode(parts[0]) : null, feature: parts.length > 1 ? decode(parts.slice(1).join("/")) : null };
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(GIVE_UP_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status === 404 ? "not found" : `it answered ${answer.status}`);
  return answer.json();
}

const featurePath = ({ model, feature }) => `/api/v1/models/${encodeURIComponent(model)}/features/${encodeURIComponent(feature)}`;

/** Now, by the analyzer's clock: the browser's may be wrong. */
const now = () => (seen.overview ? seen.overview.at_ms + (performance.now() - seen.receivedAt) : Date.now());

async function refreshOverview() {
  try {
    seen.overview = await ask("/api/v1/overview");
    seen.receivedAt = performance.now();
    seen.failure = null;
  } catch (error) {
    seen.failure = error.name === "TimeoutError" ? "it does not answer in time" : error.message;
  }
}

async function refreshDetail() {
  const open = route();
  if (!open.feature) return;
  try {
    const found = await ask(featurePath(open));
    const still = route();
    if (still.feature === open.feature && still.model === open.model) {
      seen.detail = found;
      seen.detailFailure = null;
    }
  } catch (error) {
    seen.detailFailure = error.message;
  }
}

/** The worst that is the case, in words. */
function overall(data) {
  if (!data) return ["insufficient", "Waiting for the analyzer"];
  const drifted = data.models.filter((m) => m.state === "drifted");
  const burning = data.slos.filter((slo) => slo.burn.some((b) => b.rate !== null && b.rate > b.factor));
  const watched = data.models.filter((m) => m.state === "watch");
  const parts = [];
  if (drifted.length) parts.push(`${drifted.map((m) => m.model).join(", ")} drifted`);
  if (burning.length) parts.push(`${plural(burning.length, "objective")} losing budget too fast`);
  if (parts.length) return ["drifted", parts.join(" \u00b7 ")];
  if (watched.length) return ["watch", `Watching ${watched.map((m) => m.model).join(", ")}`];
  if (!data.models.length) return ["insufficient", "No models yet"];
  const learning = data.models.filter((m) => m.state === "insufficient");
  if (learning.length) return ["insufficient", `Gathering data for ${learning.map((m) => m.model).join(", ")}`];
  return ["stable", data.models.length === 1 ? "All quiet" : `All ${data.models.length} models quiet`];
}

function drawTop() {
  const [state, sentence] = overall(seen.overview);
  show(at("overall"), h("span", { class: `badge ${state}` }, icon(state), sentence));
  document.title = state === "drifted" ? `\u25c6 ${sentence} \u2013 Driftline` : "Driftline";
  const data = seen.overview;
  show(at("freshness"), data ? ["as of ", h("time", { datetime: new Date(data.at_ms).toISOString() }, clock(data.at_ms))] : "");
  const banner = at("banner");
  banner.hidden = !seen.failure;
  if (seen.failure) {
    const age = data ? ` What you see is ${span(performance.now() - seen.receivedAt)} old.` : "";
    show(banner, h("p", { class: "wrap" }, icon("watch"), h("span", {}, `The analyzer cannot be reached: ${seen.failure}. Asking again every ${EVERY_MS / 1000} seconds.`, age ? h("span", { "aria-hidden": "true" }, age) : null)));
  }
}

function drawPanel() {
  const panel = at("panel");
  const open = route();
  const was = !panel.hidden;
  panel.hidden = !open.feature;
  document.body.classList.toggle("has-panel", Boolean(open.feature));
  at("content").inert = Boolean(open.feature);
  if (!open.feature) {
    if (was) {
      show(panel);
      seen.detail = null;
      opener?.focus?.();
    }
    return;
  }
  const fits = seen.detail && seen.detail.verdict.feature === open.feature && seen.detail.verdict.model === open.model;
  show(panel, fits ? detail(seen.detail, now()) : detailPending(open, seen.detailFailure));
  if (!was) panel.querySelector(".close")?.focus();
}

function draw() {
  drawTop();
  const data = seen.overview;
  if (data) show(at("content"), data.models.length ? overview(data, now()) : noModels(data, now()));
  drawPanel();
}

async function turn() {
  await Promise.all([refreshOverview(), refreshDetail()]);
  draw();
}

/** Brings the model of the address into view, once its card is there. */
function reveal() {
  const { model, feature } = route();
  if (model && !feature) document.getElementById(`model-${model}`)?.scrollIntoView({ block: "start" });
}

addEventListener("hashchange", async () => {
  const open = route();
  seen.detailFailure = null;
  if (open.feature && at("panel").hidden) opener = document.activeElement;
  draw();
  reveal();
  await refreshDetail();
  draw();
});

addEventListener("keydown", (event) => {
  const { model, feature } = route();
  if (event.key === "Escape" && feature) location.hash = `#/${encodeURIComponent(model)}`;
});

at("panel").addEventListener("click", (event) => {
  if (event.target === at("panel")) location.hash = `#/${encodeURIComponent(route().model)}`;
});

async function live() {
  if (!document.hidden) await turn();
  setTimeout(live, EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) turn();
});

draw();
turn().then(() => {
  reveal();
  setTimeout(live, EVERY_MS);
});
