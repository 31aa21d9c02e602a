// States as shape, word and colour: the shape alone tells them apart.

import { h, s } from "./dom.js";

const SHAPES = {
  stable: () => s("circle", { cx: 8, cy: 8, r: 5 }),
  resolved: () => [s("circle", { cx: 8, cy: 8, r: 5, class: "hollow" }), s("path", { d: "M8 3a5 5 0 0 1 0 10z" })],
  insufficient: () => s("circle", { cx: 8, cy: 8, r: 4.4, class: "hollow dotted" }),
  watch: () => s("path", { d: "M8 2.2 14.4 13.4H1.6z" }),
  drifted: () => s("path", { d: "M8 1.4 14.6 8 8 14.6 1.4 8z" }),
  promote: () => s("path", { class: "stroke", d: "M3 8.6 6.6 12 13 4.6" }),
  hold: () => s("path", { class: "stroke", d: "M5.4 4v8M10.6 4v8" }),
  reject: () => s("path", { class: "stroke", d: "M4 4l8 8M12 4l-8 8" }),
};

const WORDS = {
  stable: "stable",
  resolved: "resolved",
  insufficient: "too little data",
  watch: "watch",
  drifted: "drifted",
  promote: "promote",
  hold: "hold",
  reject: "reject",
};

export const icon = (state) => s("svg", { class: `shape ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, (SHAPES[state] ?? SHAPES.insufficient)());

export const word = (state) => WORDS[state] ?? state;

export const badge = (state) => h("span", { class: `badge ${state}` }, icon(state), word(state));

/** From loud to quiet. */
export const loudness = (state) => ["drifted", "watch", "insufficient", "resolved", "stable"].indexOf(state);
