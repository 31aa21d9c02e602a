// What concerns a whole service: objectives, events, and whether the observations add up.

import { h, s } from "./dom.js";
import { DASH, ago, count, moment, percent, plural, short, span } from "./format.js";
import { icon } from "./state.js";

const over = (b) => b.rate !== null && b.rate > b.factor;

export function objectives(slos) {
  if (!slos.length) return null;
  return h("section", { "aria-label": "Objectives" }, h("h3", {}, "Objectives"), slos.map(objective));
}

function objective(slo) {
  const left = slo.budget_remaining;
  const spent = left === null ? null : left <= 0;
  const shown = left === null ? 0 : Math.max(0, Math.min(1, left)) * 100;
  const state = left === null ? "insufficient" : slo.burn.some(over) ? "drifted" : spent ? "watch" : "stable";
  const text = left === null ? "no events yet" : spent ? `budget overspent by ${percent(-left)}` : `${percent(left)} of the budget left`;
  return h(
    "div",
    { class: "slo", "data-key": `slo-${slo.slo}` },
    h("p", { class: "line" }, icon(state), h("strong", {}, slo.slo), h("span", { class: "quiet" }, `${slo.objective}\u202f%`), h("span", { class: "right" }, text)),
    slo.description ? h("p", { class: "small quiet" }, slo.description) : null,
    s(
      "svg",
      { class: `budget ${state}`, viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": text },
      s("rect", { class: "rail", width: 100, height: 8 }),
      s("rect", { class: "bar", width: shown, height: 8 }),
    ),
    h(
      "ul",
      { class: "burn", "aria-label": "Burn rates" },
      slo.burn.map((b) => {
        const fast = over(b);
        const label = `${b.window}: ${b.rate === null ? "no events" : `${short(b.rate)} times`}, alerts above ${short(b.factor)}`;
        return h(
          "li",
          { class: fast ? "over" : null, title: label, "data-key": `burn-${b.window}` },
          h("span", { class: "window" }, fast ? icon("drifted") : null, b.window),
          h("span", { class: "rate" }, b.rate === null ? DASH : `${short(b.rate)}\u00d7`),
          s("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "rail", width: 100, height: 4 }), s("rect", { class: "bar", width: Math.min(100, ((b.rate ?? 0) / b.factor) * 100), height: 4 })),
          h("span", { class: "quiet" }, `of ${short(b.factor)}`),
        );
      }),
    ),
    h("p", { class: "small quiet" }, `${count(slo.bad)} bad of ${plural(slo.events, "event")} in the period`),
  );
}

const EVENT_SHAPES = { drift: "drifted", shadow: "hold", deployment: "promote", baseline: "resolved", slo: "watch" };

export function events(list, now) {
  return h(
    "section",
    { class: "card events", "aria-labelledby": "events-title" },
    h("h2", { id: "events-title" }, "Events"),
    list.length
      ? h(
          "ol",
          {},
          list.slice(0, 14).map((e) =>
            h(
              "li",
              { "data-key": `event-${e.at_ms}-${e.kind}-${e.model}-${e.version}-${e.text}` },
              icon(EVENT_SHAPES[e.kind] ?? "insufficient"),
              h("div", {}, h("p", {}, e.text), h("p", { class: "small quiet" }, [e.kind, e.model, e.version].filter(Boolean).join(" \u00b7 "))),
              h("time", { datetime: new Date(e.at_ms).toISOString(), title: moment(e.at_ms) }, ago(e.at_ms, now)),
            ),
          ),
        )
      : h("p", { class: "none" }, "Deployments, references and changes of state will be listed here."),
  );
}

export function pipeline(data, now) {
  const p = data.pipeline;
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const lag = data.watermark_ms === null ? DASH : span(data.at_ms - data.watermark_ms);
  return h(
    "section",
    { class: "card pipeline", "aria-labelledby": "pipeline-title" },
    h("h2", { id: "pipeline-title" }, "Pipeline"),
    h("dl", { class: "facts" }, fact("Observations stored", count(p.observations)), fact("Payloads", count(p.payloads)), fact("Labels", count(p.labels)), fact("Watermark behind", lag)),
    p.sources.length ? p.sources.map((source) => ledger(source, now)) : h("p", { class: "none" }, "No source has sent a heartbeat yet."),
  );
}

/** observed = delivered + dropped + in flight, checked here as well. */
function ledger({ source, heartbeat_ms: heartbeat, ledger: l }, now) {
  const rest = l.observed - l.delivered - l.dropped - l.in_flight;
  const late = now - heartbeat > 30_000;
  const [state, words] = rest !== 0 ? ["watch", `does not add up: ${count(Math.abs(rest))} ${rest > 0 ? "unaccounted for" : "too many"}`] : l.dropped > 0 ? ["watch", `adds up; ${count(l.dropped)} dropped`] : ["stable", "adds up, nothing dropped"];
  const term = (name, value) => h("span", { class: "term" }, h("b", {}, count(value)), h("span", {}, name));
  const sign = (text) => h("span", { class: "sign" }, text);
  return h(
    "div",
    { class: "ledger", "data-key": `source-${source}` },
    h("p", { class: "line" }, icon(state), h("strong", {}, source), h("span", { class: "quiet" }, words), h("span", { class: `right quiet ${late ? "late" : ""}` }, late ? `silent for ${span(now - heartbeat)}` : `heard ${ago(heartbeat, now)}`)),
    h("p", { class: "sum", "aria-label": `observed ${l.observed}, delivered ${l.delivered}, dropped ${l.dropped}, in flight ${l.in_flight}` }, term("observed", l.observed), sign("="), term("delivered", l.delivered), sign("+"), term("dropped", l.dropped), sign("+"), term("in flight", l.in_flight)),
  );
}
