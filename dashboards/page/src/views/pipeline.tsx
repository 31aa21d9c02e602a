// Whether the observations add up: from the sources into the tables, in two ledgers.

import type { Glance, Source } from "../api";
import { ago, count, DASH, percent, plural, span } from "../format";
import { now } from "../live";
import { Empty, Stat } from "../parts";
import { Shape, type Word } from "../state";

/** A source that says nothing for this long is late. */
const LATE_MS = 30_000;

/** Nobody waits for the next single post. */
const isSilent = (source: Source) => source.expected && now() - source.heartbeat_ms > LATE_MS;

/** observed = delivered + dropped + in flight, checked here as well. */
function balance({ ledger: l }: Source): [Word, string] {
  const rest = l.observed - l.delivered - l.dropped - l.in_flight;
  if (rest !== 0) return ["drifted", `does not add up: ${count(Math.abs(rest))} ${rest > 0 ? "unaccounted for" : "too many"}`];
  return l.dropped > 0 ? ["watch", `adds up; ${count(l.dropped)} dropped (${percent(l.dropped / Math.max(1, l.observed))})`] : ["stable", "adds up, nothing dropped"];
}

function Ledger({ source }: { source: Source }) {
  const [state, words] = balance(source);
  const late = isSilent(source);
  const l = source.ledger;
  return (
    <section class="ledger">
      <p class="line"><Shape state={state} /><strong>{source.source}</strong><span class="quiet">{words}</span><span class={`right ${late ? "late" : "quiet"}`}>{late ? `silent for ${span(now() - source.heartbeat_ms)}` : `${source.expected ? "heard" : "single posts, the last"} ${ago(source.heartbeat_ms, now())}`}</span></p>
      <p class="sum" role="img" aria-label={`observed ${l.observed} is delivered ${l.delivered} and dropped ${l.dropped} and in flight ${l.in_flight}`}>
        <Term name="observed" value={l.observed} /><i>=</i><Term name="delivered" value={l.delivered} /><i>+</i><Term name="dropped" value={l.dropped} /><i>+</i><Term name="in flight" value={l.in_flight} />
      </p>
    </section>
  );
}

const Term = ({ name, value }: { name: string; value: number }) => <span class="term"><b>{count(value)}</b><span>{name}</span></span>;

const lag = (glance: Glance) => (glance.watermark_ms === null ? DASH : span(glance.at_ms - glance.watermark_ms));

export function PipelineSummary({ glance }: { glance: Glance }) {
  const { pipeline } = glance;
  return (
    <>
      <dl class="stats">
        <Stat name="Stored" value={count(pipeline.observations)} />
        <Stat name="Samples" value={count(pipeline.payloads)} />
        <Stat name="Labels" value={count(pipeline.labels)} />
        <Stat name="Behind" value={lag(glance)} />
      </dl>
      {pipeline.sources.length ? pipeline.sources.map((source) => <Ledger key={source.source} source={source} />) : <Empty title="No source has sent a heartbeat yet" />}
    </>
  );
}

export function PipelineView({ glance }: { glance: Glance | null }) {
  if (!glance) return <><h1>Pipeline</h1><div class="waiting" role="status" aria-label="Waiting for the analyzer" /></>;
  const { pipeline } = glance;
  const silent = pipeline.sources.filter(isSilent).length;
  const in_flight = pipeline.sources.reduce((sum, source) => sum + source.ledger.in_flight, 0);
  return (
    <>
      <h1>Pipeline</h1>
      <section class="card">
        <ol class="flow" aria-label="The way of an observation">
          <li class={silent ? "watch" : ""}><strong>Sources</strong><b>{count(pipeline.sources.length)}</b><span>{silent ? `${plural(silent, "source")} silent` : "all heard from"}</span></li>
          <li><strong>On their way</strong><b>{count(in_flight)}</b><span>not acknowledged yet</span></li>
          <li><strong>Stored</strong><b>{count(pipeline.observations)}</b><span>observations</span></li>
          <li><strong>Samples</strong><b>{count(pipeline.payloads)}</b><span>masked payloads</span></li>
          <li><strong>Labels</strong><b>{count(pipeline.labels)}</b><span>ground truth</span></li>
          <li><strong>Judged</strong><b>{lag(glance)}</b><span>behind now</span></li>
        </ol>
        {pipeline.unnamed > 0 && <p class="line unnamed"><Shape state="insufficient" /><span>{plural(pipeline.unnamed, "request")} of the last day named no model that exists; who asked is in the proxy's access log.</span></p>}
      </section>
      <section class="card">
        <h2>Ledgers<span class="aside">observed = delivered + dropped + in flight</span></h2>
        {pipeline.sources.length ? pipeline.sources.map((source) => <Ledger key={source.source} source={source} />) : <Empty title="No source has sent a heartbeat yet"><p>A proxy sends one every few seconds once it runs; other servers send observations without.</p></Empty>}
      </section>
    </>
  );
}
