// One feature in full: both distributions, where they differ most, and how the evidence grew.

import { h } from "./dom.js";
import { cumulative, evidence, overlay, shares } from "./charts.js";
import { DASH, clock, count, distance, plural, power, probability } from "./format.js";
import { badge, icon, word } from "./state.js";

const close = (model) => h("a", { class: "close", href: `#/${encodeURIComponent(model)}`, "aria-label": "Close" }, icon("reject"));

function frame(model, feature, ...children) {
  return h(
    "div",
    { class: "sheet", role: "dialog", "aria-modal": "true", "aria-labelledby": "feature-title" },
    h("header", {}, h("div", {}, h("p", { class: "small quiet" }, model), h("h2", { id: "feature-title" }, feature)), close(model)),
    ...children,
  );
}

export function detailPending({ model, feature }, failure) {
  const text = failure === "not found" ? "There is no such feature. It may belong to another version, or no window has been judged yet." : failure ? `The analyzer cannot be asked: ${failure}.` : "Asking the analyzer\u2026";
  return frame(model, feature, h("p", { class: "none" }, text));
}

export function detail({ verdict: v, distribution, history }) {
  const fact = (name, value, help) => h("div", { title: help }, h("dt", {}, name), h("dd", {}, value));
  const categories = distribution.names.length > 0 && distribution.edges.length === 0;
  const bounds = v.ks_lower === null ? DASH : `${distance(v.ks_lower)}\u2013${distance(v.ks_upper)}`;
  return frame(
    v.model,
    v.feature,
    h("p", { class: "verdict" }, badge(v.state), h("span", {}, v.sentence)),
    h("section", {}, h("h3", {}, "Last window over reference"), categories ? shares(distribution.names.map((label, i) => ({ label, reference: distribution.reference[i] ?? null, current: distribution.current[i] ?? null })), 20) : overlay(distribution, v.feature)),
    categories ? null : h("section", {}, h("h3", {}, "Cumulative"), cumulative(distribution)),
    h("section", {}, h("h3", {}, "Evidence, window by window"), evidence(history.length ? history : [v])),
    h(
      "dl",
      { class: "facts" },
      fact(categories ? "Largest shift of a share" : "KS distance", bounds, "bounds of the exact distance, from the reference's bins"),
      fact("Evidence", `${power(v.evidence)} of ${power(v.evidence_needed)}`, "of more than the ignored shift, over all windows since the last alarm; the mean over the model's features has to reach the second"),
      fact("One window alone", distance(v.threshold), "what the lower bound would have to exceed to tell by itself"),
      fact("Harmless up to", distance(v.delta), "the shift that the configuration ignores"),
      fact("Smallest visible", distance(v.visible), "no smaller shift can be shown with this reference"),
      fact("PSI", distance(v.psi), "population stability index over merged bins"),
      fact("p", probability(v.p_value), "classical, of this window alone"),
      fact("q", probability(v.q_value), "adjusted over the model's features (Benjamini-Hochberg)"),
      fact("A value is worth", v.worth == null ? DASH : distance(v.worth), "independent values that one was worth, as measured; the evidence assumes about 1"),
      fact("Values", `${count(v.n)} (${count(v.needed)} needed)`),
      fact("Reference", plural(v.m, "value")),
      fact("Window", `${clock(v.window_start_ms)}\u2013${clock(v.window_end_ms)}`),
    ),
    history.length ? past(history) : null,
    h("p", { class: "small quiet" }, "Reference ", h("code", {}, v.baseline.slice(0, 12)), ` of version ${v.version}.`),
  );
}

/** State changes, newest first. */
function past(history) {
  const changes = history.filter((v, i) => i === 0 || v.state !== history[i - 1].state).reverse();
  return h(
    "section",
    {},
    h("h3", {}, "Changes of state"),
    h("ol", { class: "changes" }, changes.slice(0, 8).map((v) => h("li", { "data-key": `change-${v.window_end_ms}` }, icon(v.state), h("span", {}, word(v.state)), h("time", { datetime: new Date(v.window_end_ms).toISOString() }, clock(v.window_end_ms))))),
  );
}
