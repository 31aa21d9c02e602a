// The overview: a card a model, then what concerns all of them.

import { h, s } from "./dom.js";
import { agreementBar, intervalBar, overlay, shares, sparkline } from "./charts.js";
import { DASH, ago, count, distance, latency, latencyText, moment, percent, plural, power, short } from "./format.js";
import { badge, icon, loudness, word } from "./state.js";
import { events, objectives, pipeline } from "./system.js";

/** More features than this, and the quiet ones become cells. */
const ROWS_MAX = 14;
/** Features of an image that are named; the image shows the rest. */
const PIXELS_NAMED = 5;

const link = (v) => `#/${encodeURIComponent(v.model)}/${encodeURIComponent(v.feature)}`;
const strength = (v) => (v.ks_lower ?? 0) / (v.threshold ?? (v.delta || 1));

export function overview(data, now) {
  return [
    data.models.map((m) => card(m, data.slos.filter((slo) => slo.model === m.model), now)),
    h("div", { class: "columns", "data-key": "below" }, events(data.events, now), pipeline(data, now)),
  ];
}

export function noModels(data, now) {
  return [
    h(
      "section",
      { class: "empty card" },
      h("h1", {}, "Nothing has been asked yet"),
      h("p", {}, "The analyzer runs and waits for the first observation. Send a request to the proxy, or point a server that you have at the collector:"),
      h("pre", {}, h("code", {}, "curl -s http://PROXY/v1/models/MODEL/predict \\\n     -H 'content-type: application/json' \\\n     -d '{\"text\": \"My parcel has not arrived.\"}'")),
      h("p", { class: "quiet" }, "Within seconds its model appears here. The first traffic becomes a provisional reference, and the windows after it are judged against that."),
    ),
    h("div", { class: "columns" }, events(data.events, now), pipeline(data, now)),
  ];
}

function sentence(m) {
  const n = m.features.length;
  const drifted = m.features.filter((f) => f.state === "drifted");
  if (!n) return m.baseline ? "The first window is not closed yet." : "No reference yet: the first traffic is being gathered.";
  if (drifted.length) {
    const names = [...drifted].sort((a, b) => strength(b) - strength(a)).slice(0, 3).map((f) => f.feature);
    return `${count(drifted.length)} of ${plural(n, "feature")} moved by more than is harmless, most of all ${names.join(", ")}.`;
  }
  if (m.state === "watch") return `Classical tests point at ${plural(m.features.filter((f) => f.state === "watch").length, "feature")}; the guarantee does not cover them yet.`;
  if (m.state === "insufficient") return `Windows are still too small to judge all of ${plural(n, "feature")}.`;
  return `All ${plural(n, "feature")} are inside the shift that was declared harmless.`;
}

function card(m, slos, now) {
  return h(
    "article",
    { class: "card model", id: `model-${m.model}`, "data-key": `model-${m.model}`, "aria-labelledby": `name-${m.model}` },
    h(
      "header",
      { class: "head" },
      h("h2", { id: `name-${m.model}` }, h("a", { href: `#/${encodeURIComponent(m.model)}` }, m.model), h("span", { class: "version" }, m.version)),
      badge(m.state),
      h("p", { class: "sentence" }, sentence(m)),
    ),
    traffic(m),
    h(
      "div",
      { class: "two" },
      drift(m, now),
      h("div", { class: "side" }, confidence(m), classes(m)),
    ),
    slos.length || m.shadows.length ? h("div", { class: "columns inner" }, objectives(slos), shadows(m.shadows)) : null,
    guarantee(m, now),
  );
}

const tile = (name, [value, unit], note) =>
  h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, h("span", { class: "value" }, value), unit ? h("span", { class: "unit" }, unit) : null, note ?? null));

function traffic(m) {
  const t = m.traffic;
  const bad = t.bad_ratio ?? 0;
  return h(
    "div",
    { class: "traffic" },
    h(
      "dl",
      { class: "tiles" },
      tile("Requests", [short(t.requests_per_second), "/s"]),
      tile("p50", latency(t.p50_ms)),
      tile("p95", latency(t.p95_ms)),
      tile("p99", latency(t.p99_ms)),
      tile("Bad", t.bad_ratio === null ? [DASH, ""] : [percent(bad).replace("\u202f%", ""), "%"]),
    ),
    sparkline(m.history),
  );
}

function drift(m, now) {
  const all = [...m.features];
  const loud = (v) => v.state === "drifted" || v.state === "watch";
  const many = all.length > ROWS_MAX;
  const ranked = [...all].sort((a, b) => loudness(a.state) - loudness(b.state) || strength(b) - strength(a));
  const output = (v) => v.feature.startsWith("output.");
  const inputs = all.filter((v) => !output(v));
  const image = many ? rectangle(inputs) : null;
  const named = new Set(ranked.filter((v) => loud(v) && !output(v)).slice(0, image ? PIXELS_NAMED : ROWS_MAX));
  const rows = many ? ranked.filter((v) => output(v) || named.has(v)) : ranked;
  const inRows = new Set(rows.map((v) => v.feature));
  const cells = image ? inputs : all.filter((v) => !inRows.has(v.feature));
  const scale = Math.max(0.2, ...rows.map((v) => Math.max(v.ks_upper ?? 0, v.threshold ?? 0))) * 1.04;
  const last = all.reduce((latest, v) => Math.max(latest, v.window_end_ms), 0);
  return h(
    "section",
    { class: "drift", "aria-label": `Drift of ${m.model}` },
    h("h3", {}, "Drift", last ? h("span", { class: "aside" }, `last window closed ${ago(last, now)}`) : null),
    rows.length ? table(rows, scale) : h("p", { class: "none" }, m.baseline ? "Verdicts appear when the first window after the reference closes." : "A reference is frozen from the first traffic; verdicts follow."),
    cells.length ? strip(cells, rows.length > 0, image) : null,
  );
}

function table(rows, scale) {
  return h(
    "table",
    { class: "features" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Feature"),
        h("th", { scope: "col" }, "State"),
        h("th", { scope: "col", class: "wide" }, h("span", { class: "axis-title" }, h("span", {}, "KS distance 0"), h("span", {}, distance(scale)))),
        h("th", { scope: "col", class: "num" }, "at least"),
        h("th", { scope: "col", class: "num" }, "PSI"),
        h("th", { scope: "col", class: "num", title: "Evidence of more than the ignored shift, over all windows since the last alarm" }, "evidence"),
        h("th", { scope: "col", class: "num" }, "n"),
      ),
    ),
    h("tbody", {}, rows.map((v) => row(v, scale))),
  );
}

function row(v, scale) {
  const enough = v.state !== "insufficient";
  return h(
    "tr",
    { class: v.state, "data-key": `row-${v.feature}` },
    h("th", { scope: "row" }, h("a", { href: link(v) }, v.feature)),
    h("td", { class: "state" }, icon(v.state), h("span", {}, word(v.state))),
    h("td", { class: "wide" }, intervalBar(v, scale)),
    h("td", { class: "num", "data-label": "at least" }, distance(v.ks_lower)),
    h("td", { class: "num", "data-label": "PSI" }, distance(v.psi)),
    h("td", { class: "num", "data-label": "evidence" }, power(v.evidence)),
    h("td", { class: "num", "data-label": "n" }, enough ? count(v.n) : `${count(v.n)}\u2009/\u2009${count(v.needed)}`),
  );
}

/** Features named `…row_column` that fill a rectangle: the pixels of an image, say. */
function rectangle(features) {
  const places = features.map((v) => /^(.*?)(\d+)_(\d+)$/.exec(v.feature)).map((found) => found && { prefix: found[1], row: Number(found[2]), column: Number(found[3]) });
  if (!places.length || places.some((p) => p === null || p.prefix !== places[0].prefix)) return null;
  const columns = Math.max(...places.map((p) => p.column)) + 1;
  const rows = Math.max(...places.map((p) => p.row)) + 1;
  return rows > 1 && columns > 1 && columns <= 32 && rows * columns === places.length ? { columns, places } : null;
}

/** The quiet features as cells: the darker, the nearer to the line. */
function strip(cells, beside, image) {
  const quiet = cells.filter((v) => v.state === "stable" || v.state === "resolved").length;
  const title = quiet === cells.length ? `${beside ? "The other " : ""}${plural(quiet, "feature")} ${quiet === 1 ? "is" : "are"} stable` : `${plural(cells.length, "feature")}${image ? " in their places" : " more"}, ${quiet} stable`;
  const placed = image ? [...cells.keys()].sort((a, b) => image.places[a].row - image.places[b].row || image.places[a].column - image.places[b].column).map((i) => cells[i]) : cells;
  return h(
    "div",
    { class: "strip" },
    h("p", { class: "quiet small" }, title, h("span", { class: "ramp", "aria-hidden": "true" }, "far from the line", [1, 2, 3, 4, 5].map((n) => h("i", { class: `level${n}` })), "at it")),
    image ? h("div", { class: "image" }, slices(placed, image.columns).map((line) => h("ul", {}, line.map((v) => cell(v))))) : h("ul", {}, placed.map((v) => cell(v))),
  );
}

const slices = (list, n) => Array.from({ length: Math.ceil(list.length / n) }, (_, i) => list.slice(i * n, (i + 1) * n));

function cell(v) {
  const level = v.ks_lower === null ? 0 : Math.min(5, Math.floor(strength(v) * 5) + 1);
  const text = `${v.feature}: ${word(v.state)}, distance at least ${distance(v.ks_lower)}`;
  const loud = v.state !== "stable" && v.state !== "resolved";
  return h("li", { "data-key": `cell-${v.feature}` }, h("a", { class: `cell level${level} ${v.state}`, href: link(v), title: text, "aria-label": text }, loud ? icon(v.state) : null));
}

function confidence(m) {
  const mean = m.confidence_mean;
  return h(
    "section",
    { "aria-label": "Confidence" },
    h("h3", {}, "Confidence", mean === null ? null : h("span", { class: "aside" }, `mean ${mean.toFixed(3)}`)),
    m.confidence ? overlay(m.confidence, "Confidence of the winning class") : h("p", { class: "none" }, "No confidence in the last window."),
  );
}

function classes(m) {
  if (!m.classes.length) return null;
  // by the reference, which does not change from window to window, so that rows keep their places
  const rows = [...m.classes].sort((a, b) => (b.reference ?? 0) - (a.reference ?? 0) || a.label.localeCompare(b.label, "en", { numeric: true }));
  return h("section", { "aria-label": "Class mix" }, h("h3", {}, "Classes", h("span", { class: "aside" }, "window, reference")), shares(rows, 10));
}

function shadows(list) {
  if (!list.length) return null;
  return h("section", { "aria-label": "Shadows" }, h("h3", {}, list.length === 1 ? "Shadow" : "Shadows"), list.map(shadow));
}

function shadow(one) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const most = Math.max(1, ...one.flips.map((f) => f.pairs));
  return h(
    "div",
    { class: "shadow", "data-key": `shadow-${one.shadow}` },
    h("p", { class: "line" }, h("strong", {}, one.shadow), h("span", { class: "quiet" }, ` beside ${one.primary}`), badge(one.verdict)),
    h("p", { class: "small" }, one.sentence),
    agreementBar(one),
    h(
      "dl",
      { class: "facts" },
      fact("Agreement", percent(one.agreement, 2)),
      fact("At every look", one.sequence ? `${(one.sequence.lower * 100).toFixed(2)}\u2013${percent(one.sequence.upper, 2)}` : DASH),
      fact("Pairs", count(one.pairs)),
      fact("Not answered", count(one.failed)),
      fact("Run time", one.latency_ratio === null ? DASH : `${one.latency_ratio.toFixed(2)} times`),
    ),
    one.flips.length
      ? h(
          "ul",
          { class: "flips", "aria-label": "Disagreements" },
          one.flips.slice(0, 4).map((f) =>
            h(
              "li",
              { "data-key": `flip-${f.primary}-${f.shadow}` },
              h("span", {}, f.primary, h("span", { class: "quiet" }, " \u2192 "), f.shadow),
              s("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "bar", width: (f.pairs / most) * 100, height: 6 })),
              h("span", { class: "num" }, count(f.pairs)),
            ),
          ),
        )
      : null,
  );
}

function guarantee(m, now) {
  const b = m.baseline;
  return h(
    "footer",
    { class: "guarantee" },
    m.guarantee ? h("p", {}, h("strong", {}, "What an alarm means. "), m.guarantee) : null,
    b
      ? h(
          "p",
          { class: "quiet" },
          `Reference `,
          h("code", {}, b.fingerprint.slice(0, 12)),
          ` ${b.version ? `of version ${b.version}` : "from a file"}: ${plural(b.observations, "observation")}, ${plural(b.features, "feature")}, frozen ${ago(b.frozen_at_ms, now)} (${moment(b.frozen_at_ms)})${b.provisional ? "; provisional: made from the first traffic, promoted by nobody" : ""}.`,
        )
      : null,
  );
}
