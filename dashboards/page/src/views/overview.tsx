// All models at a glance: what an SRE has on a wall.

import type { BaselineInfo, Glance, ModelGlance, SloStatus } from "../api";
import { Spark } from "../chart";
import { ago, count, latency, percent, plural, short } from "../format";
import { now } from "../live";
import { Budget, budgetText, Empty, named, provisional, sloState, Stat, Told } from "../parts";
import { to } from "../route";
import { Badge, LOUDEST_FIRST, Shape, word } from "../state";
import { EventList } from "./events";
import { PipelineSummary } from "./pipeline";

/** Events beside the pipeline. */
const EVENTS = 8;

export function Overview({ glance }: { glance: Glance | null }) {
  if (!glance) return <><h1 class="hidden">Models</h1><div class="waiting" role="status" aria-label="Waiting for the analyzer" /></>;
  const loudness = (model: ModelGlance) => LOUDEST_FIRST.indexOf(model.state);
  const models = [...glance.models].sort((a, b) => loudness(a) - loudness(b) || a.model.localeCompare(b.model));
  return (
    <>
      <h1 class="hidden">Models</h1>
      {models.length ? <div class="grid cards">{models.map((model) => <Card key={model.model} model={model} slos={glance.slos.filter((slo) => slo.model === model.model)} />)}</div> : <First />}
      <div class="grid two">
        <section class="card"><h2>Events<a class="aside" href={to({ view: "events" })}>all</a></h2><EventList events={glance.events.slice(0, EVENTS)} /></section>
        <section class="card"><h2>Pipeline<a class="aside" href={to({ view: "pipeline" })}>more</a></h2><PipelineSummary glance={glance} /></section>
      </div>
    </>
  );
}

const First = () => (
  <section class="card">
    <Empty title="Nothing has been asked yet">
      <p>The analyzer runs and waits for the first observation. Send a request to the proxy, or point a server that you have at the collector:</p>
      <pre tabIndex={0}><code>{"curl -s http://PROXY/v1/models/MODEL/predict \\\n  -H 'content-type: application/json' \\\n  -d '{\"text\": \"My parcel has not arrived.\"}'"}</code></pre>
      <p class="quiet small">Within seconds its model appears here. The first traffic becomes a provisional reference, and the windows after it are judged against that.</p>
    </Empty>
  </section>
);

/** What there is to say, in one sentence. */
function sentence(model: ModelGlance): string {
  const total = Object.values(model.states).reduce((sum, n) => sum + n, 0);
  const { drifted = 0, watch = 0 } = model.states;
  if (!total) return model.waiting ?? "Nothing is judged yet.";
  if (drifted) return `${count(drifted)} of ${plural(total, "feature")} moved by more than is harmless: ${model.loudest.join(", ")}${drifted > model.loudest.length ? " …" : ""}`;
  if (watch) return `Classical tests point at ${plural(watch, "feature")}; the guarantee does not cover them yet.`;
  if (model.waiting) return model.waiting;
  return `All ${plural(total, "feature")} are inside the shift that was declared harmless.`;
}

/** What is judged against, in a few words. */
function reference(baseline: BaselineInfo): string {
  const some = provisional(baseline);
  return some === "provisional" ? "provisional reference" : `reference ${named(baseline)}${some && `, ${some}`}`;
}

function Card({ model, slos }: { model: ModelGlance; slos: SloStatus[] }) {
  const { traffic } = model;
  const [p95, unit] = latency(traffic.p95_ms);
  return (
    <article class={`card model ${model.state}`} data-model={model.model} data-state={model.state}>
      <header>
        <h2><a href={to({ view: "model", model: model.model })}>{model.model}</a><span class="version">{model.version}</span></h2>
        <Badge state={model.state} />
      </header>
      <p class="sentence"><Told text={sentence(model)} /></p>
      <States states={model.states} />
      <dl class="stats">
        <Stat name="Requests" value={short(traffic.requests_per_second)} unit="/s" />
        <Stat name="p95" value={p95} unit={unit} />
        <Stat name="Bad" value={percent(traffic.bad_ratio)} />
        <Stat name="Confidence" value={model.confidence_mean === null ? "–" : model.confidence_mean.toFixed(2)} />
      </dl>
      <Spark values={model.requests} says={`Requests a second to ${model.model} over the last ${model.requests.length} windows, now ${short(traffic.requests_per_second)}`} />
      <Budgets slos={slos} />
      <p class="feet">
        {model.shadows.map((one) => <a key={one.shadow} class="chip" href={to({ view: "shadows", model: model.model, shadow: one.shadow })}><Shape state={one.verdict} />shadow {one.shadow}: {word(one.verdict)}{one.agreement !== null && <span class="quiet"> {percent(one.agreement)}</span>}</a>)}
        <span class="quiet small">{model.judged_ms === null ? "not judged yet" : `judged ${ago(model.judged_ms, now())}`}{model.baseline && ` · ${reference(model.baseline)}`}</span>
      </p>
    </article>
  );
}

/** A model's objectives, a line each. */
export function Budgets({ slos }: { slos: SloStatus[] }) {
  if (!slos.length) return null;
  return (
    <ul class="budgets" aria-label="Error budgets">
      {slos.map((slo) => <li key={slo.slo}><a href={to({ view: "slo", slo: slo.slo })}>{slo.slo}</a><Budget slo={slo} /><span class={`num ${sloState(slo)}`}>{budgetText(slo)}</span></li>)}
    </ul>
  );
}

/** Features by state as one bar. */
export function States({ states }: { states: ModelGlance["states"] }) {
  const shown = LOUDEST_FIRST.filter((state) => states[state]);
  if (!shown.length) return null;
  return (
    <p class="states" role="img" aria-label={shown.map((state) => `${states[state]} ${word(state)}`).join(", ")}>
      <span class="split">{shown.map((state) => <span key={state} class={`part ${state}`} style={{ flexGrow: states[state] }} />)}</span>
      <span class="counts">{shown.map((state) => <span key={state}><Shape state={state} />{count(states[state])}</span>)}</span>
    </p>
  );
}

