// Charts over uPlot: lines, fields, steps and dots over time or numbers, with a legend that follows the cursor, marks, a
// sentence for those who cannot see them, and the numbers as a table for whoever asks.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock, day, minute, moment, short } from "./format";
import { colour, useTheme } from "./theme";

export interface Series {
  name: string;
  values: (number | null)[];
  /** A colour of the style sheet. */
  ink: string;
  /** Opacity of the field below it. */
  field?: number;
  dash?: boolean;
  thin?: boolean;
  shape?: "line" | "steps" | "dots";
  /** How it reads, where it differs from the axis. */
  read?: (value: number) => string;
}

export interface Mark {
  at: number;
  ink: string;
  label?: string;
  /** Across at a value, or down at a place of x. */
  across?: boolean;
  dash?: boolean;
}

export interface ChartProps {
  /** What it shows, in a sentence. */
  says: string;
  x: number[];
  series: Series[];
  /** Pairs of series between which the field is filled. */
  bands?: [number, number][];
  marks?: Mark[];
  time?: boolean;
  height?: number;
  read?: (value: number) => string;
  readX?: (value: number) => string;
  /** Bounds of y; absent ones follow the data. */
  low?: number;
  high?: number;
  /** Bounds of x, such as the range asked for. */
  from?: number;
  until?: number;
  /** Charts of one key share the cursor. */
  together?: string;
  onZoom?: (from: number, until: number) => void;
}

const DAY_SECONDS = 86_400;

/** Ticks of time in 24 hours; the day where it changes. */
function times(_: uPlot, splits: number[], __: number, ___: number, step: number): string[] {
  let before = "";
  return splits.map((seconds, i) => {
    const ms = seconds * 1000;
    const today = day(ms);
    const changed = i > 0 && today !== before;
    before = today;
    if (step >= DAY_SECONDS || changed) return today;
    return step < 60 ? clock(ms) : minute(ms);
  });
}

/** A tick says no more digits than it has: `75 ms`, not `75.0 ms`. */
export const tick = (text: string) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");

function drawMarks(plot: uPlot, marks: Mark[]): void {
  const { ctx, bbox } = plot;
  const unit = devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * unit}px system-ui, sans-serif`;
  let taken = -Infinity;
  for (const { at, ink, label, across, dash } of marks) {
    const place = Math.round(plot.valToPos(at, across ? "y" : "x", true));
    const [start, length] = across ? [bbox.top, bbox.height] : [bbox.left, bbox.width];
    if (place < start - 1 || place > start + length + 1) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(ink);
    ctx.lineWidth = 1.25 * unit;
    ctx.setLineDash(dash ? [4 * unit, 4 * unit] : []);
    ctx.beginPath();
    if (across) ctx.moveTo(bbox.left, place), ctx.lineTo(bbox.left + bbox.width, place);
    else ctx.moveTo(place, bbox.top), ctx.lineTo(place, bbox.top + bbox.height);
    ctx.stroke();
    const wide = label ? ctx.measureText(label).width + 12 * unit : 0;
    // labels of marks that stand close would lie over each other
    if (!label || (!across && place - taken < wide)) continue;
    if (!across) taken = place;
    const rightwards = across || bbox.left + bbox.width - place > wide;
    ctx.textAlign = across ? "right" : rightwards ? "left" : "right";
    const x = across ? bbox.left + bbox.width - 4 * unit : place + (rightwards ? 5 : -5) * unit;
    const y = across ? (place - bbox.top > 16 * unit ? place - 5 * unit : place + 13 * unit) : bbox.top + 12 * unit;
    ctx.fillText(label, x, y);
  }
  ctx.restore();
}

function seriesOptions({ name, ink, field, dash, thin, shape }: Series): uPlot.Series {
  const paths = shape === "steps" ? uPlot.paths.stepped!({ align: 1 }) : shape === "dots" ? () => null : undefined;
  return {
    label: name,
    stroke: () => colour(ink),
    ...(field === undefined ? {} : { fill: () => colour(ink, field) }),
    width: thin ? 1 : 1.75,
    ...(dash ? { dash: [5, 4] } : {}),
    ...(paths ? { paths } : {}),
    points: shape === "dots" ? { show: true, size: 8, fill: () => colour(ink) } : { show: false },
    spanGaps: false,
  };
}

function options(props: ChartProps, width: number, follow: (index: number | null) => void, latest: { current: ChartProps }): uPlot.Options {
  const { series, bands = [], time, height = 190, together } = props;
  const axis = { stroke: () => colour("soft"), grid: { stroke: () => colour("rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { ...(together ? { sync: { key: together, setSeries: false } } : {}), drag: { x: Boolean(props.onZoom), y: false, setScale: false }, points: { size: 6 } },
    scales: {
      x: { time: Boolean(time), range: (_, low, high) => {
        const { from, until } = latest.current;
        const [a, b] = [from ?? low ?? 0, until ?? high ?? 1];
        return a < b ? [a, b] : [a - 0.5, a + 0.5];
      } },
      y: { range: (_, low, high) => {
        const { low: least, high: most } = latest.current;
        const bottom = least ?? low ?? 0;
        const top = most ?? (high === null || high === undefined || high <= bottom ? bottom + 1 : high + (high - bottom) * 0.08);
        return [bottom, top];
      } },
    },
    axes: [
      { ...axis, size: 30, gap: 8, ...(time ? { values: times } : props.readX ? { values: (_, splits) => splits.map((v) => tick(latest.current.readX!(v))) } : {}), space: 64 },
      { ...axis, size: 56, gap: 4, values: (_, splits) => splits.map((v) => (v === null ? "" : tick((latest.current.read ?? short)(v)))), space: 32 },
    ],
    series: [{}, ...series.map(seriesOptions)],
    bands: bands.map(([upper, lower]) => ({ series: [upper + 1, lower + 1], fill: () => colour(series[upper]!.ink, 0.16) })),
    hooks: {
      draw: [(plot) => drawMarks(plot, latest.current.marks ?? [])],
      setCursor: [(plot) => follow(plot.cursor.left !== undefined && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)],
      setSelect: [(plot) => {
        const { left, width: wide } = plot.select;
        if (wide < 6) return;
        const scale = time ? 1000 : 1;
        latest.current.onZoom?.(plot.posToVal(left, "x") * scale, plot.posToVal(left + wide, "x") * scale);
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  };
}

export function Chart(given: ChartProps) {
  const scale = given.time ? 1 / 1000 : 1;
  const props: ChartProps = given.time ? { ...given, x: given.x.map((ms) => ms * scale), ...(given.from === undefined ? {} : { from: given.from * scale }), ...(given.until === undefined ? {} : { until: given.until * scale }), marks: given.marks?.map((mark) => (mark.across ? mark : { ...mark, at: mark.at * scale })) ?? [] } : given;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [index, follow] = useState<number | null>(null);
  const { key: theme } = useTheme();
  const made = JSON.stringify([theme, props.height, props.time, props.series.map(({ name, ink, shape }) => [name, ink, shape]), props.bands]);
  useEffect(() => {
    const element = host.current!;
    const data = () => [latest.current.x, ...latest.current.series.map((one) => one.values)] as uPlot.AlignedData;
    plot.current = new uPlot(options(latest.current, Math.max(120, element.clientWidth), follow, latest), data(), element);
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(120, element.clientWidth), height: latest.current.height ?? 190 }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [made]);
  useEffect(() => plot.current?.setData([props.x, ...props.series.map((one) => one.values)] as uPlot.AlignedData), [given]);
  const readX = given.time ? moment : (given.readX ?? short);
  return (
    <figure class="chart">
      <Legend props={props} at={index} where={index !== null && given.x[index] !== undefined ? readX(given.x[index]!) : null} />
      <div class="plot" role="img" aria-label={given.says} ref={host} />
      <Numbers props={given} readX={readX} />
    </figure>
  );
}

function Legend({ props, at, where }: { props: ChartProps; at: number | null; where: string | null }) {
  return (
    <figcaption class="legend">
      {props.series.map((one) => {
        const value = at === null ? null : one.values[at];
        const read = one.read ?? props.read ?? short;
        return (
          <span class="key" key={one.name}>
            <span class={`swatch ${one.dash ? "dash" : ""} ${one.shape === "dots" ? "dot" : ""}`} style={{ color: `var(--${one.ink})` }} />
            {one.name}
            {value !== null && value !== undefined && <b>{read(value)}</b>}
          </span>
        );
      })}
      {where && <span class="where">{where}</span>}
    </figcaption>
  );
}

/** The numbers behind a chart, made when somebody opens them. */
function Numbers({ props, readX }: { props: ChartProps; readX: (value: number) => string }) {
  const [open, set] = useState(false);
  const id = useId();
  if (!props.x.length) return null;
  return (
    <details class="numbers" onToggle={(event) => set(event.currentTarget.open)}>
      <summary aria-controls={id}>Numbers</summary>
      <div class="scroll" id={id} tabIndex={0} role="region" aria-label={`Numbers: ${props.says}`}>
        {open && (
          <table>
            <thead><tr><th scope="col">{props.time ? "Time" : "At"}</th>{props.series.map((one) => <th scope="col" class="num" key={one.name}>{one.name}</th>)}</tr></thead>
            <tbody>
              {props.x.map((x, i) => (
                <tr key={x}>
                  <th scope="row">{readX(x)}</th>
                  {props.series.map((one) => <td class="num" key={one.name}>{one.values[i] === null || one.values[i] === undefined ? "–" : (one.read ?? props.read ?? short)(one.values[i]!)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </details>
  );
}

/** A line without axes, for a card. */
export function Spark({ values, says, ink = "accent", height = 44 }: { values: number[]; says: string; ink?: string; height?: number }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { key: theme } = useTheme();
  const data = (): uPlot.AlignedData => [values.map((_, i) => i), values];
  useEffect(() => {
    const element = host.current!;
    const size = () => ({ width: Math.max(60, element.clientWidth), height });
    plot.current = new uPlot(
      { ...size(), legend: { show: false }, cursor: { show: false }, axes: [{ show: false }, { show: false }], padding: [3, 0, 0, 0], scales: { x: { time: false }, y: { range: (_, __, high) => [0, Math.max(high ?? 0, 1e-9) * 1.1] } }, series: [{}, { stroke: () => colour(ink), fill: () => colour(ink, 0.14), width: 1.5, points: { show: false } }] },
      data(),
      element,
    );
    const sized = new ResizeObserver(() => plot.current?.setSize(size()));
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.current?.destroy();
    };
  }, [theme, ink, height]);
  useEffect(() => plot.current?.setData(data()), [values]);
  return <div class="spark" role="img" aria-label={says} ref={host} />;
}

/** A chart with its title, or why there is none. */
export const Panel = ({ title, aside, children, wide }: { title: string; aside?: ComponentChildren; children: ComponentChildren; wide?: boolean }) => (
  <section class={`card panel ${wide ? "wide" : ""}`}>
    <h2>{title}{aside && <span class="aside">{aside}</span>}</h2>
    {children}
  </section>
);
