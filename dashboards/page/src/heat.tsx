// The drift of many features over time: a row a feature, a cell a step, loud cells first to be seen. Drawn over uPlot.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { DriftState, Heat } from "./api";
import { clock, day, distance, minute, moment } from "./format";
import { to, zoom } from "./route";
import { word, Shape } from "./state";
import { colour, useTheme } from "./theme";

const ROW = 22;
const AXIS = 26;
const INK: Record<DriftState, [string, number]> = { stable: ["good", 0.3], resolved: ["calm", 0.65], insufficient: ["faint", 0.22], watch: ["warn", 0.7], drifted: ["bad", 0.45] };

/** Drifted cells deepen with the distance. */
const depth = (state: DriftState, ks: number | null) => (state === "drifted" ? Math.min(1, 0.5 + (ks ?? 0)) : INK[state][1]);

function paint(plot: uPlot, heat: Heat): void {
  const { ctx } = plot;
  const unit = devicePixelRatio || 1;
  const inks = new Map<string, string>();
  ctx.save();
  for (const [y, row] of heat.rows.entries()) {
    const top = Math.round(y * ROW * unit) + unit;
    for (const { step, state, ks_lower } of row.cells) {
      const left = plot.valToPos((heat.from_ms + step * heat.step_ms) / 1000, "x", true);
      const right = plot.valToPos((heat.from_ms + (step + 1) * heat.step_ms) / 1000, "x", true);
      const opacity = Math.round(depth(state, ks_lower) * 20) / 20;
      const key = `${state}${opacity}`;
      if (!inks.has(key)) inks.set(key, colour(INK[state][0], opacity));
      ctx.fillStyle = inks.get(key)!;
      ctx.fillRect(left + unit / 2, top, Math.max(unit, right - left - unit), (ROW - 2) * unit);
    }
  }
  ctx.restore();
}

// labels at the edges would be cut
const ticks = (plot: uPlot, splits: number[], __: number, ___: number, step: number) => splits.map((s) => (plot.valToPos(s, "x") < 18 || plot.valToPos(s, "x") > plot.width - 22 ? "" : step >= 86_400 ? day(s * 1000) : step < 60 ? clock(s * 1000) : minute(s * 1000)));

interface Under { row: number; step: number }

export function HeatMap({ model, heat, states }: { model: string; heat: Heat; states: Map<string, DriftState> }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(heat);
  latest.current = heat;
  const [under, look] = useState<Under | null>(null);
  const { key: theme } = useTheme();
  const height = heat.rows.length * ROW + AXIS;
  const data = (): uPlot.AlignedData => [[heat.from_ms / 1000, (heat.from_ms + heat.steps * heat.step_ms) / 1000], [null, null]];
  useEffect(() => {
    const element = host.current!;
    const size = () => ({ width: Math.max(120, element.clientWidth), height });
    plot.current = new uPlot(
      {
        ...size(),
        padding: [0, 0, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
        scales: { x: { time: true, range: () => [latest.current.from_ms / 1000, (latest.current.from_ms + latest.current.steps * latest.current.step_ms) / 1000] }, y: { range: [0, 1] } },
        axes: [{ stroke: () => colour("soft"), grid: { show: false }, ticks: { show: false }, size: AXIS, values: ticks, font: "11px system-ui, sans-serif", space: 64 }, { show: false }],
        series: [{}, { points: { show: false } }],
        hooks: {
          draw: [(now) => paint(now, latest.current)],
          setCursor: [(now) => {
            const { left = -1, top = -1 } = now.cursor;
            const step = Math.floor((now.posToVal(left, "x") * 1000 - latest.current.from_ms) / latest.current.step_ms);
            look(left < 0 ? null : { row: Math.floor(top / ROW), step });
          }],
          setSelect: [(now) => {
            if (now.select.width < 6) return;
            zoom(now.posToVal(now.select.left, "x") * 1000, now.posToVal(now.select.left + now.select.width, "x") * 1000);
            now.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          }],
        },
      },
      data(),
      element,
    );
    const sized = new ResizeObserver(() => plot.current?.setSize(size()));
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.current?.destroy();
    };
  }, [theme, height]);
  useEffect(() => plot.current?.setData(data()), [heat]);
  const row = under ? heat.rows[under.row] : undefined;
  const cell = under ? row?.cells.find((one) => one.step === under.step) : undefined;
  const loud = heat.rows.filter((one) => one.cells.some((each) => each.state === "drifted")).length;
  return (
    <figure class="heat">
      <ul class="names" aria-label="Features, loudest first">
        {heat.rows.map(({ feature }) => (
          <li key={feature}><a href={to({ view: "feature", model, feature })} title={feature}><Shape state={states.get(feature) ?? "insufficient"} /><span>{feature}</span></a></li>
        ))}
      </ul>
      <div class="plot" role="img" aria-label={`Verdicts of ${heat.rows.length} features in ${heat.steps} steps; ${loud} of them drifted at some time`} ref={host} />
      <figcaption class="legend">
        {(["drifted", "watch", "resolved", "stable", "insufficient"] as DriftState[]).map((state) => <span class="key" key={state}><span class={`square ${state}`} />{word(state)}</span>)}
        {row && cell && <span class="where">{row.feature} <b>{word(cell.state)}</b> {cell.ks_lower === null ? "" : `KS ≥ ${distance(cell.ks_lower)}`} {moment(heat.from_ms + cell.step * heat.step_ms)}</span>}
      </figcaption>
    </figure>
  );
}
