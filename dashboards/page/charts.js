// Drawings, all SVG. Every one has a text that says what it shows, and none needs colour to be read.

import { h, s } from "./dom.js";
import { distance, latencyText, percent, short } from "./format.js";

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");

/** p95 as a line over requests a second as a field. */
export function sparkline(history) {
  const W = 240;
  const H = 56;
  const known = history.filter((p) => p.p95_ms !== null);
  if (known.length < 2) return h("div", { class: "spark none" }, "The latency line starts with the second window.");
  const xs = history.map((_, i) => (history.length === 1 ? 0 : (i / (history.length - 1)) * W));
  const p95Max = Math.max(...known.map((p) => p.p95_ms)) || 1;
  const rpsMax = Math.max(...history.map((p) => p.requests_per_second)) || 1;
  const rps = history.map((p, i) => [xs[i], H - (p.requests_per_second / rpsMax) * (H - 20)]);
  const lines = [];
  let run = [];
  history.forEach((p, i) => {
    if (p.p95_ms === null) {
      if (run.length) lines.push(run);
      run = [];
    } else {
      run.push([xs[i], H - 3 - (p.p95_ms / p95Max) * (H - 8)]);
    }
  });
  if (run.length) lines.push(run);
  const last = history.at(-1);
  const label = `95th percentile of latency over ${history.length} windows: now ${latencyText(last.p95_ms)}, at most ${latencyText(p95Max)}`;
  return h(
    "figure",
    { class: "spark" },
    s(
      "svg",
      { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("path", { class: "field", d: `${path(rps)}L${W} ${H}L0 ${H}Z` }),
      lines.map((line) => s("path", { class: "line", d: path(line) })),
    ),
    h("figcaption", {}, h("span", {}, "p95, peak ", latencyText(p95Max)), h("span", {}, "requests, peak ", short(rpsMax), "/s")),
  );
}

/** Where the true distance lies, against the shift that is ignored and the line that has to be crossed. */
export function intervalBar(verdict, scale) {
  const { ks_lower: lower, ks_upper: upper, delta, threshold } = verdict;
  const x = (value) => Math.min(100, (value / scale) * 100);
  if (lower === null) return s("svg", { class: "interval", viewBox: "0 0 100 16", preserveAspectRatio: "none", role: "img", "aria-label": "no distance yet" }, s("path", { class: "rail", d: "M0 8H100" }));
  const high = upper ?? lower;
  const label = `distance between ${distance(lower)} and ${distance(high)}; ignored up to ${distance(delta)}${threshold === null ? "" : `; drifted above ${distance(threshold)}`}`;
  return s(
    "svg",
    { class: `interval ${verdict.state}`, viewBox: "0 0 100 16", preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("rect", { class: "harmless", x: 0, y: 3, width: x(delta), height: 10 }),
    s("path", { class: "rail", d: "M0 8H100" }),
    s("rect", { class: "band", x: x(lower), y: 5, width: Math.max(0.8, x(high) - x(lower)), height: 6 }),
    threshold === null ? null : s("path", { class: "threshold", d: `M${x(threshold)} 0V16` }),
    s("path", { class: "bound", d: `M${x(lower)} 2.5V13.5` }),
  );
}

/** Bins as [left, right, reference, current]; falls back to equal columns where edges do not draw. */
function bins({ edges, names, reference, current }) {
  const n = Math.max(reference.length, current.length);
  const widths = edges.slice(1).map((e, i) => e - edges[i]);
  const finite = edges.length === n + 1 && edges.every((e) => typeof e === "number" && Number.isFinite(e)) && widths.every((w) => w > 0);
  const even = finite && Math.max(...widths) / Math.min(...widths) < 40;
  const total = even ? edges[n] - edges[0] : n;
  const columns = Array.from({ length: n }, (_, i) => {
    const left = even ? (edges[i] - edges[0]) / total : i / n;
    const width = even ? widths[i] / total : 1 / n;
    const per = even ? width * n : 1;
    return { left, width, reference: (reference[i] ?? 0) / per, current: (current[i] ?? 0) / per, name: names[i] };
  });
  return { columns, even };
}

const outline = (columns, of, W, H, top) => {
  let d = `M0 ${H}`;
  for (const c of columns) {
    const y = H - (c[of] / top) * (H - 6);
    d += `L${(c.left * W).toFixed(2)} ${y.toFixed(2)}L${((c.left + c.width) * W).toFixed(2)} ${y.toFixed(2)}`;
  }
  return `${d}L${W} ${H}`;
};

const legend = () => h("span", { class: "legend" }, h("span", { class: "key current" }, "last window"), h("span", { class: "key reference" }, "reference"));

/** Window as a field, reference as a line over it. */
export function overlay(distribution, what, ticks) {
  const W = 320;
  const H = 110;
  const { columns, even } = bins(distribution);
  if (!columns.length) return h("p", { class: "none" }, "No values in the last window.");
  const top = Math.max(...columns.map((c) => Math.max(c.reference, c.current))) || 1;
  const edges = distribution.edges;
  const ends = ticks ?? (even ? [short(edges[0]), short((edges[0] + edges.at(-1)) / 2), short(edges.at(-1))] : ["low", "bins of the reference", "high"]);
  return h(
    "figure",
    { class: "overlay" },
    s(
      "svg",
      { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${what}: the last window drawn over the reference` },
      s("path", { class: "field", d: outline(columns, "current", W, H, top) }),
      s("path", { class: "reference", d: outline(columns, "reference", W, H, top) }),
      s("path", { class: "axis", d: `M0 ${H}H${W}` }),
    ),
    h("div", { class: "ticks", "aria-hidden": "true" }, ends.map((t) => h("span", {}, t))),
    h("figcaption", {}, legend()),
  );
}

/** Both cumulative curves, and where they are furthest apart. */
export function cumulative(distribution) {
  const W = 320;
  const H = 120;
  const { columns } = bins(distribution);
  if (!columns.length) return null;
  let ref = 0;
  let cur = 0;
  let far = { gap: -1, x: 0, ref: 0, cur: 0 };
  const curves = { reference: [[0, H]], current: [[0, H]] };
  const refs = distribution.reference;
  const curs = distribution.current;
  columns.forEach((c, i) => {
    ref += refs[i] ?? 0;
    cur += curs[i] ?? 0;
    const x = (c.left + c.width) * W;
    curves.reference.push([x, H - ref * (H - 4)]);
    curves.current.push([x, H - cur * (H - 4)]);
    if (Math.abs(ref - cur) > far.gap) far = { gap: Math.abs(ref - cur), x, ref, cur };
  });
  const y = (v) => H - v * (H - 4);
  const more = far.cur > far.ref ? "below" : "above";
  const label = `Cumulative curves; the largest difference is ${distance(far.gap)}`;
  return h(
    "figure",
    { class: "cdf" },
    s(
      "svg",
      { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("path", { class: "axis", d: `M0 ${H}H${W}` }),
      s("path", { class: "reference", d: path(curves.reference) }),
      s("path", { class: "line", d: path(curves.current) }),
      s("path", { class: "gap", d: `M${far.x} ${y(far.ref)}V${y(far.cur)}` }),
    ),
    h("figcaption", {}, `Furthest apart by ${distance(far.gap)} at the marked point: the window has more of its values ${more} it than the reference.`),
  );
}

/** Shares of categories, window as a bar, reference as a mark. */
export function shares(rows, limit) {
  const top = Math.max(0.01, ...rows.flatMap((r) => [r.reference ?? 0, r.current ?? 0]));
  const shown = rows.slice(0, limit);
  const rest = rows.length - shown.length;
  return h(
    "div",
    { class: "shares" },
    shown.map((r) =>
      h(
        "div",
        { class: "share", "data-key": `share-${r.label}` },
        h("span", { class: "label" }, r.label),
        s(
          "svg",
          { viewBox: "0 0 100 12", preserveAspectRatio: "none", role: "img", "aria-label": `${r.label}: ${percent(r.current)} now, ${percent(r.reference)} in the reference` },
          s("rect", { class: "rail", x: 0, y: 4, width: 100, height: 4 }),
          s("rect", { class: "bar", x: 0, y: 2, width: ((r.current ?? 0) / top) * 100, height: 8 }),
          r.reference === null ? null : s("path", { class: "mark", d: `M${Math.min(99.5, (r.reference / top) * 100)} 0V12` }),
        ),
        h("span", { class: "num" }, percent(r.current)),
        h("span", { class: "num quiet" }, percent(r.reference)),
      ),
    ),
    rest > 0 ? h("p", { class: "quiet small" }, `and ${rest} more`) : null,
  );
}

/** A share with its two intervals on a scale that is cut at the left, so that 98 % and 99 % differ. */
export function agreementBar(shadow) {
  const { agreement, wilson, sequence } = shadow;
  const lowest = Math.min(sequence?.lower ?? 1, wilson?.lower ?? 1, agreement ?? 1);
  const from = Math.max(0, Math.min(0.9, Math.floor((lowest - 0.02) * 20) / 20));
  const x = (v) => ((v - from) / (1 - from)) * 100;
  const parts = [`agreement ${percent(agreement)}`];
  if (sequence) parts.push(`at every look between ${percent(sequence.lower)} and ${percent(sequence.upper)}`);
  return h(
    "div",
    { class: "agreement" },
    s(
      "svg",
      { viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": parts.join(", ") },
      s("path", { class: "rail", d: "M0 10H100" }),
      sequence ? s("rect", { class: "sequence", x: x(sequence.lower), y: 4, width: Math.max(0.6, x(sequence.upper) - x(sequence.lower)), height: 12 }) : null,
      wilson ? s("rect", { class: "wilson", x: x(wilson.lower), y: 7.5, width: Math.max(0.6, x(wilson.upper) - x(wilson.lower)), height: 5 }) : null,
      agreement === null ? null : s("path", { class: "point", d: `M${x(agreement)} 1V19` }),
    ),
    h("div", { class: "ticks", "aria-hidden": "true" }, h("span", {}, percent(from, 0)), h("span", {}, percent((1 + from) / 2, from > 0.85 ? 1 : 0)), h("span", {}, "100\u202f%")),
  );
}

/** Bounds of the distance, window by window, against the line. */
export function evidence(history) {
  const W = 320;
  const H = 110;
  const rows = history.filter((v) => v.ks_lower !== null);
  if (rows.length < 2) return h("p", { class: "none" }, "The history starts with the second judged window.");
  const top = Math.max(0.1, ...rows.map((v) => Math.max(v.ks_upper ?? v.ks_lower, v.threshold ?? 0))) * 1.05;
  const x = (i) => (i / (rows.length - 1)) * W;
  const y = (v) => H - (v / top) * (H - 4);
  const lower = rows.map((v, i) => [x(i), y(v.ks_lower)]);
  const upper = rows.map((v, i) => [x(i), y(v.ks_upper ?? v.ks_lower)]);
  const line = rows.map((v, i) => [x(i), y(v.threshold ?? v.delta)]);
  const drifted = rows.map((v, i) => (v.state === "drifted" ? [x(i), y(v.ks_lower)] : null)).filter(Boolean);
  const label = `Bounds of the KS distance over ${rows.length} windows; ${drifted.length} of them drifted`;
  return h(
    "figure",
    { class: "evidence" },
    s(
      "svg",
      { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("path", { class: "axis", d: `M0 ${H}H${W}` }),
      s("path", { class: "band", d: `${path(upper)}${path([...lower].reverse()).replace("M", "L")}Z` }),
      s("path", { class: "line", d: path(lower) }),
      s("path", { class: "threshold", d: path(line) }),
    ),
    h("figcaption", {}, h("span", { class: "legend" }, h("span", { class: "key band" }, "lower to upper bound"), h("span", { class: "key threshold" }, "drifted above"))),
  );
}
