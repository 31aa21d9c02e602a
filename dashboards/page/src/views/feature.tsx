// One feature: what it is now over what it was, where the two differ most, and how the evidence grew.

import { api, type Distribution, type FeatureDetail, type FeatureVerdict } from "../api";
import { Chart, Panel } from "../chart";
import { clock, count, DASH, distance, moment, percent, plural, power, probability, short } from "../format";
import { useAsk } from "../live";
import { Answer, Empty, Shares, Stat, Told } from "../parts";
import { to, zoom } from "../route";
import { Badge, Shape, word } from "../state";
import { useRanged } from "./model";
import { Where } from "./segments";

export function Feature({ model, feature, asked }: { model: string; feature: string; asked: URLSearchParams }) {
  const path = api("models", model, "features", feature);
  const found = useAsk<FeatureDetail>(path, () => path, 5_000);
  const history = useRanged<FeatureVerdict[]>(asked, api("models", model, "evidence", feature));
  return (
    <>
      <p class="crumbs"><a href={to({ view: "model", model })}>{model}</a> / features</p>
      {!found.data && <h1>{feature}</h1>}
      <Answer asked={found}>
        {({ verdict, distribution, segments, parts }) => (
          <>
            <header class="title"><h1>{feature}<span class="version">{verdict.version}</span></h1><Badge state={verdict.state} /><p class="sentence"><Told text={verdict.sentence} /></p></header>
            <Facts verdict={verdict} distribution={distribution} />
            {distribution.names.length ? <Panel title="Shares" aside={distribution.edges.length ? "nearly all of the reference is one value" : "last window over reference"}><Shares limit={20} rows={distribution.names.map((label, i) => ({ label, reference: distribution.reference[i] ?? null, current: distribution.current[i] ?? null }))} /></Panel> : <Numeric distribution={distribution} feature={feature} />}
            <Where verdict={verdict} segments={segments} parts={parts} />
          </>
        )}
      </Answer>
      <Answer asked={history}>{(verdicts) => <History verdicts={verdicts} feature={feature} />}</Answer>
    </>
  );
}

function Facts({ verdict: v, distribution }: { verdict: FeatureVerdict; distribution: Distribution }) {
  const [low, high] = [distance(v.ks_lower), distance(v.ks_upper)];
  const bounds = v.ks_lower === null ? DASH : low === high ? low : `${low} – ${high}`;
  return (
    <dl class="stats tiles broad">
      <Stat name={distribution.names.length && !distribution.edges.length ? "Largest shift of a share" : "KS distance"} value={bounds} />
      <Stat name="Evidence" value={power(v.evidence)} note={`the model alarms at ${power(v.evidence_needed)}`} />
      <Stat name="Harmless up to" value={distance(v.delta)} />
      <Stat name="Smallest visible" value={distance(v.visible)} />
      <Stat name="PSI" value={distance(v.psi)} />
      <Stat name="p" value={probability(v.p_value)} note={`q ${probability(v.q_value)}`} />
      <Stat name="Values" value={count(v.n)} note={`${count(v.needed)} needed`} />
      <Stat name="Reference" value={count(v.m)} note={v.baseline.slice(0, 8)} />
      {v.unusual.map((one) => <Stat key={one.what} name={one.what[0]!.toUpperCase() + one.what.slice(1)} value={percent(one.now)} note={`${percent(one.before)} in the reference`} />)}
      <Stat name="Window" value={clock(v.window_end_ms)} note={`from ${clock(v.window_start_ms)}`} />
    </dl>
  );
}

interface Bins { left: number[]; width: number[]; drawn: boolean; x: (i: number) => number }

/** Edges that can be drawn to scale: finite, rising, and not all of the room in one bin. */
function bins({ edges, reference }: Distribution): Bins {
  const n = reference.length;
  const width = edges.slice(1).map((edge, i) => edge - edges[i]!);
  const drawn = edges.length === n + 1 && edges.every(Number.isFinite) && width.every((w) => w > 0) && Math.max(...width) < 0.98 * (edges[n]! - edges[0]!);
  const left = drawn ? edges.slice(0, n) : Array.from({ length: n }, (_, i) => i);
  return { left, width: drawn ? width : Array.from({ length: n }, () => 1), drawn, x: (i) => (drawn ? edges[i]! : i) };
}

function sums(shares: number[]): number[] {
  let sum = 0;
  return [0, ...shares.map((share) => (sum += share))];
}

function Numeric({ distribution, feature }: { distribution: Distribution; feature: string }) {
  const { reference, current } = distribution;
  if (!current.some((share) => share > 0)) return <Panel title="Distribution"><Empty title="No values in the last window" /></Panel>;
  const { width, drawn, x } = bins(distribution);
  const n = reference.length;
  const edges = Array.from({ length: n + 1 }, (_, i) => x(i));
  // steps want the last value once more at the right end
  const density = (shares: number[]) => [...shares.map((share, i) => share / width[i]!), (shares[n - 1] ?? 0) / (width[n - 1] ?? 1)];
  const [was, is] = [sums(reference), sums(current)];
  const furthest = was.reduce((best, _, i) => (Math.abs(was[i]! - is[i]!) > Math.abs(was[best]! - is[best]!) ? i : best), 0);
  const gap = Math.abs(was[furthest]! - is[furthest]!);
  const where = drawn ? short(edges[furthest]!) : `bin ${furthest} of ${n}`;
  const mark = { at: edges[furthest]!, ink: "bad", dash: true };
  const readX = (value: number) => (drawn ? short(value) : `bin ${short(value)}`);
  return (
    <div class="grid two">
      <Panel title="Distribution" aside={drawn ? "share of the values, a unit of width" : "share of the values, a bin"}>
        <Chart says={`${feature}: the last window drawn over the reference; they differ most at ${where}`} x={edges} readX={readX} low={0} height={230} read={short} marks={[mark]} series={[
          { name: "last window", values: density(current), ink: "accent", field: 0.22, shape: "steps" },
          { name: "reference", values: density(reference), ink: "ink", shape: "steps", dash: true },
        ]} />
      </Panel>
      <Panel title="Cumulative" aside={`share of the values up to there; furthest apart at ${where}`}>
        <Chart says={`${feature}: both cumulative distributions; in the bins drawn they are furthest apart at ${where}, by ${distance(gap)}`} x={edges} readX={readX} low={0} high={1} height={230} read={(v) => v.toFixed(2)} marks={[{ ...mark, label: "furthest apart" }]} series={[
          { name: "last window", values: is, ink: "accent" },
          { name: "reference", values: was, ink: "ink", dash: true },
        ]} />
      </Panel>
    </div>
  );
}

function History({ verdicts, feature }: { verdicts: FeatureVerdict[]; feature: string }) {
  if (verdicts.length < 2) return <Panel title="Evidence"><Empty title="Fewer than two windows were judged in this range"><p>Choose a longer range, or wait for the next window.</p></Empty></Panel>;
  const x = verdicts.map((v) => v.window_end_ms);
  const needed = verdicts.at(-1)!.evidence_needed;
  const drifted = verdicts.filter((v) => v.state === "drifted").length;
  const evidence = verdicts.map((v) => (v.evidence === null ? null : Math.max(0, v.evidence)));
  const top = Math.max(needed ?? 1, ...evidence.map((e) => e ?? 0)) * 1.12;
  const common = { x, time: true, together: "feature", onZoom: zoom, height: 210 };
  return (
    <>
      <div class="grid two">
        <Panel title="Evidence" aside="of more than the ignored shift, as a power of ten">
          <Chart {...common} says={`Evidence that ${feature} moved, over ${verdicts.length} windows; the model alarms where the mean over its features reaches ${power(needed)}`} low={0} high={top} read={(v) => `10^${short(v)}`} marks={needed === null ? [] : [{ at: needed, ink: "bad", across: true, dash: true, label: "alarm" }]} series={[{ name: "evidence", values: evidence, ink: "accent", field: 0.12 }]} />
        </Panel>
        <Panel title="Distance" aside={`${plural(drifted, "window")} drifted of ${verdicts.length}`}>
          <Chart {...common} says={`Bounds of the KS distance over ${verdicts.length} windows; ${drifted} of them drifted`} low={0} bands={[[0, 1]]} read={distance} series={[
            { name: "at most", values: verdicts.map((v) => v.ks_upper), ink: "calm", thin: true },
            { name: "at least", values: verdicts.map((v) => v.ks_lower), ink: "accent" },
            { name: "one window tells above", values: verdicts.map((v) => v.threshold), ink: "bad", dash: true, thin: true },
            { name: "harmless", values: verdicts.map((v) => v.delta), ink: "good", dash: true, thin: true },
          ]} />
        </Panel>
      </div>
      <Changes verdicts={verdicts} />
    </>
  );
}

function Changes({ verdicts }: { verdicts: FeatureVerdict[] }) {
  const changes = verdicts.filter((v, i) => i === 0 || v.state !== verdicts[i - 1]!.state).reverse();
  return <Panel title="Changes of state"><ol class="changes">{changes.slice(0, 12).map((v) => <li key={v.window_end_ms}><Shape state={v.state} /><span>{word(v.state)}</span><span class="quiet small"><Told text={v.sentence} /></span><time dateTime={new Date(v.window_end_ms).toISOString()}>{moment(v.window_end_ms)}</time></li>)}</ol></Panel>;
}
