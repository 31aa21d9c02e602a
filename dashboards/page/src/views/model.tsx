// One model: its traffic and latency, the drift of all its features over time, and each feature's last verdict.

import { useState } from "preact/hooks";
import { api, query, type FeatureVerdict, type Glance, type Heat, type ModelPage, type SloStatus, type TrafficRange } from "../api";
import { Chart, Panel, type Mark } from "../chart";
import { ago, count, distance, latency, latencyText, percent, plural, power, short } from "../format";
import { HeatMap } from "../heat";
import { now, useAsk } from "../live";
import { Answer, Bounds, Empty, named, provisional, Shares, Stat, Tabs, Told } from "../parts";
import { change, rangeOf, to, zoom } from "../route";
import { Badge, LOUDEST_FIRST, Shape, word } from "../state";
import { Budgets, States } from "./overview";

/** A range that ends now is asked for again after so many of its parts, from five seconds to a minute. */
const PARTS = 360;
const SHOWN = 60;

export const ranged = (asked: URLSearchParams, path: string) => () => {
  const { from_ms, to_ms } = rangeOf(asked, now());
  return query(path, { from_ms: Math.round(from_ms), to_ms: Math.round(to_ms) });
};

/** What is asked for a range is asked again while the range ends now. */
export function useRanged<T>(asked: URLSearchParams, path: string) {
  const range = rangeOf(asked, 0);
  const again = Math.max(5_000, Math.min(60_000, (range.to_ms - range.from_ms) / PARTS));
  return useAsk<T>(`${path} ${range.live ? range.name : `${range.from_ms}-${range.to_ms}`}`, ranged(asked, path), range.live ? again : 0);
}

export function Model({ model, asked, glance }: { model: string; asked: URLSearchParams; glance: Glance | null }) {
  const [contains, state] = [asked.get("match") ?? "", asked.get("state") ?? ""];
  const [limit, more] = useState(SHOWN);
  const path = query(api("models", model), { match: contains, state, limit });
  const found = useAsk<ModelPage>(path, () => path, 2_500);
  const traffic = useRanged<TrafficRange>(asked, `${api("models", model)}/traffic`);
  const heat = useRanged<Heat>(asked, `${api("models", model)}/heat`);
  return (
    <>
      {!found.data && <h1>{model}</h1>}
      <Answer asked={found}>
        {(page) => (
          <>
            <header class="title"><h1>{model}<span class="version">{page.version}</span></h1><Badge state={page.state} /><States states={page.states} />{page.waiting && <p class="sentence"><Told text={page.waiting} /></p>}</header>
            <Tabs model={model} here="model" />
            <Numbers page={page} />
            <Promised slos={glance?.slos.filter((slo) => slo.model === model) ?? []} />
          </>
        )}
      </Answer>
      {(found.data || !found.failure) && (
        <>
          <Answer asked={traffic}>{(range) => <Traffic model={model} range={range} asked={asked} />}</Answer>
          <Panel title="Drift" aside={heat.data ? `${plural(heat.data.rows.length, "feature")}, loudest first` : null}>
            <Answer asked={heat}>{(map) => map.rows.length ? <HeatMap model={model} heat={map} states={new Map(found.data?.features.map((one) => [one.feature, one.state]))} /> : <Empty title="No verdicts in this range"><p>A reference is frozen from the first traffic, or from a file; verdicts follow window by window.</p></Empty>}</Answer>
          </Panel>
          {found.data && <Features page={found.data} contains={contains} state={state} more={() => more(limit + 4 * SHOWN)} />}
          {found.data && found.data.classes.length > 0 && <Panel title="Answers" aside="share of each label, last window over reference"><Shares rows={found.data.classes} /></Panel>}
          {found.data && <Guarantee page={found.data} />}
        </>
      )}
    </>
  );
}

const Promised = ({ slos }: { slos: SloStatus[] }) => (slos.length ? <section class="card promised"><Budgets slos={slos} /></section> : null);

function Numbers({ page: { traffic, confidence_mean, embeddings, baseline } }: { page: ModelPage }) {
  const tile = (name: string, ms: number | null) => { const [value, unit] = latency(ms); return <Stat name={name} value={value} unit={unit} />; };
  return (
    <dl class="stats tiles">
      <Stat name="Requests" value={short(traffic.requests_per_second)} unit="/s" />
      {tile("p50", traffic.p50_ms)}
      {tile("p95", traffic.p95_ms)}
      {tile("p99", traffic.p99_ms)}
      <Stat name="Bad" value={percent(traffic.bad_ratio)} />
      {embeddings.map((one) => <Stat key={one.embedding} name="Embedding moved" value={distance(one.distance)} note={one.embedding.replace("output.", "")} />)}
      <Stat name="Confidence" value={confidence_mean === null ? "–" : confidence_mean.toFixed(3)} />
      <Stat name="Reference" value={baseline ? short(baseline.observations) : "–"} note={baseline ? <><code>{named(baseline)}</code> {provisional(baseline) || `frozen ${ago(baseline.frozen_at_ms, now())}`}</> : "none yet"} />
    </dl>
  );
}

const INK: Record<string, string> = { drift: "bad", deployment: "accent", baseline: "calm", shadow: "soft" };

function Traffic({ model, range, asked }: { model: string; range: TrafficRange; asked: URLSearchParams }) {
  const x = range.points.map((point) => point.at_ms);
  const { live } = rangeOf(asked, now());
  // The last step of a live range is not over: its rate would dip.
  const points = live ? range.points.slice(0, -1) : range.points;
  const at = live ? x.slice(0, -1) : x;
  const deployments: Mark[] = range.events.filter((event) => event.kind === "deployment" || event.kind === "baseline").map((event) => ({ at: event.at_ms, ink: INK[event.kind] ?? "soft", label: `${event.kind} ${event.version}`.trim(), dash: true }));
  if (!points.some((point) => point.requests_per_second > 0)) return <Panel title="Traffic"><Empty title="No requests in this range"><p>Choose a longer range.</p></Empty></Panel>;
  const common = { x: at, time: true, marks: deployments, together: "model", onZoom: zoom };
  const peak = Math.max(...points.map((point) => point.p99_ms ?? 0));
  return (
    <div class="grid two">
      <Panel title="Traffic" aside={`steps of ${range.step_ms / 1000} s`}>
        <Chart {...common} says={`Requests a second to ${model}, and those of them that were bad`} low={0} series={[
          { name: "requests /s", values: points.map((p) => p.requests_per_second), ink: "accent", field: 0.14 },
          { name: "bad /s", values: points.map((p) => (p.bad_ratio ?? 0) * p.requests_per_second), ink: "bad", field: 0.3, thin: true },
        ]} />
      </Panel>
      <Panel title="Latency" aside={`p99 at most ${latencyText(peak)}`}>
        <Chart {...common} says={`Median, 95th and 99th percentile of the latency of ${model}; the 99th is at most ${latencyText(peak)}`} low={0} read={latencyText} series={[
          { name: "p50", values: points.map((p) => p.p50_ms), ink: "good" },
          { name: "p95", values: points.map((p) => p.p95_ms), ink: "accent" },
          { name: "p99", values: points.map((p) => p.p99_ms), ink: "warn", thin: true },
        ]} />
      </Panel>
    </div>
  );
}

function Features({ page, contains, state, more }: { page: ModelPage; contains: string; state: string; more: () => void }) {
  const scale = Math.max(0.2, ...page.features.map((v) => Math.max(v.ks_upper ?? 0, v.threshold ?? 0))) * 1.04;
  return (
    <Panel title="Features" aside={`${count(page.matching)} of ${count(Object.values(page.states).reduce((sum, n) => sum + n, 0))}`}>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>Look for<input type="search" value={contains} placeholder="part of a name" onInput={(event) => change({ match: event.currentTarget.value }, true)} /></label>
        <label>State<select value={state} onChange={(event) => change({ state: event.currentTarget.value })}><option value="">all</option>{LOUDEST_FIRST.map((one) => <option key={one} value={one}>{word(one)}</option>)}</select></label>
      </form>
      {page.features.length ? (
        <div class="scroll" tabIndex={0} role="region" aria-label="Features and their verdicts">
          <table class="features">
            <thead><tr><th scope="col">Feature</th><th scope="col">State</th><th scope="col" class="wide"><span class="ends"><span>distance 0</span><span>{distance(scale)}</span></span></th><th scope="col" class="num">at least</th><th scope="col" class="num">PSI</th><th scope="col" class="num" title="Of more than the ignored shift, over all windows since the last alarm">evidence</th><th scope="col" class="num">n</th></tr></thead>
            <tbody>{page.features.map((one) => <Row key={one.feature} verdict={one} scale={scale} />)}</tbody>
          </table>
        </div>
      ) : <Empty title="No feature matches" />}
      {page.features.length < page.matching && <p><button type="button" onClick={more}>{`Show more of ${count(page.matching)}`}</button></p>}
    </Panel>
  );
}

function Row({ verdict: v, scale }: { verdict: FeatureVerdict; scale: number }) {
  return (
    <tr class={v.state} data-model={v.model} data-feature={v.feature} data-state={v.state}>
      <th scope="row"><a href={to({ view: "feature", model: v.model, feature: v.feature })}>{v.feature}</a></th>
      <td class="is"><Shape state={v.state} /><span>{word(v.state)}</span></td>
      <td class="wide"><Bounds verdict={v} scale={scale} /></td>
      <td class="num">{distance(v.ks_lower)}</td>
      <td class="num">{distance(v.psi)}</td>
      <td class="num">{power(v.evidence)}</td>
      <td class="num">{count(v.n)}</td>
    </tr>
  );
}

const Guarantee = ({ page }: { page: ModelPage }) => (
  <details class="card guarantee"><summary>What a drift verdict promises</summary><p>{page.guarantee}</p>{page.baseline && <p class="quiet small">Reference <code>{named(page.baseline)}</code>: {plural(page.baseline.features, "feature")} of {plural(page.baseline.observations, "observation")}{page.baseline.version && `, version ${page.baseline.version}`}{provisional(page.baseline) && `; ${provisional(page.baseline)}`}.</p>}</details>
);

