// Objectives: what is left of each budget, how fast it burns, and when it ends.

import { api, type Burn, type Glance, type SloPage } from "../api";
import { Chart, Panel } from "../chart";
import { count, moment, percent, plural, short, span } from "../format";
import { now, useAsk } from "../live";
import { Answer, Budget, budgetText, Empty, sloState, Stat } from "../parts";
import { to } from "../route";
import { Shape } from "../state";

const STATES: Record<string, string> = { drifted: "burning too fast", watch: "spent", stable: "within budget", insufficient: "no events yet" };

export function Slos({ glance }: { glance: Glance | null }) {
  if (!glance) return <><h1>Objectives</h1><div class="waiting" role="status" aria-label="Waiting for the analyzer" /></>;
  return (
    <>
      <h1>Objectives</h1>
      {glance.slos.length > 0 && <p class="quiet small under">Burn rates by window: 1× spends the budget exactly in the period; the grey number below is where the window alerts.</p>}
      {glance.slos.length ? (
        <div class="grid cards">
          {glance.slos.map((slo) => (
            <article class={`card slo ${sloState(slo)}`} key={slo.slo}>
              <header><h2><a href={to({ view: "slo", slo: slo.slo })}>{slo.slo}</a><span class="version">{slo.objective} %</span></h2><span class={`badge ${sloState(slo)}`}><Shape state={sloState(slo)} />{STATES[sloState(slo)]}</span></header>
              {slo.description && <p class="sentence">{slo.description}</p>}
              <p class="left"><b>{slo.budget_remaining === null ? "–" : percent(Math.max(0, slo.budget_remaining))}</b><span class="quiet"> {(slo.budget_remaining ?? 0) < 0 ? budgetText(slo) : "of the budget left"}</span></p>
              <Budget slo={slo} />
              <Burns burn={slo.burn} />
              <p class="small quiet">{count(slo.bad)} bad of {plural(slo.events, "event")} · <a href={to({ view: "model", model: slo.model })}>{slo.model}</a></p>
            </article>
          ))}
        </div>
      ) : <section class="card"><Empty title="No objectives"><p>Write an SLO file and name it in the configuration as <code>slo_file</code>; a starter stands in <code>deploy/slo/</code>.</p></Empty></section>}
    </>
  );
}

/** Burn rates against the factors at which they alert. */
export function Burns({ burn }: { burn: Burn[] }) {
  return (
    <ul class="burns" aria-label="Burn rates">
      {burn.map((one) => {
        const over = one.rate !== null && one.rate > one.factor;
        const says = `${one.window}: ${one.rate === null ? "no events" : `${short(one.rate)} times the even pace`}, alerts above ${short(one.factor)}`;
        return (
          <li key={one.window} class={over ? "over" : ""} title={says}>
            <span class="window">{over && <Shape state="drifted" />}{one.window}</span>
            <span class="track" role="img" aria-label={says}><span style={{ height: `${Math.min(100, ((one.rate ?? 0) / one.factor) * 100)}%` }} /></span>
            <span class="rate">{one.rate === null ? "–" : `${short(one.rate)}×`}</span>
            <span class="quiet">{short(one.factor)}</span>
          </li>
        );
      })}
    </ul>
  );
}

export function Slo({ slo }: { slo: string }) {
  const path = api("slos", slo);
  const found = useAsk<SloPage>(path, () => path, 5_000);
  return (
    <>
      <p class="crumbs"><a href={to({ view: "slos" })}>Objectives</a></p>
      {!found.data && <h1>{slo}</h1>}
      <Answer asked={found}>{(page) => <Detail page={page} />}</Answer>
    </>
  );
}

/** When the budget ends, in words. */
function ends(page: SloPage): [string, string] {
  const { status, exhausted_ms, projected_from, period_ms } = page;
  if (status.budget_remaining === null) return ["–", "no events yet"];
  if (status.budget_remaining <= 0) return ["spent", "nothing is left"];
  if (exhausted_ms === null) return ["not in sight", `nothing burned in ${projected_from ?? "the last hours"}`];
  const left = exhausted_ms - now();
  if (left > period_ms) return [`more than ${span(period_ms)}`, "it burns slower than it comes back"];
  return [`in ${span(left)}`, `${moment(exhausted_ms)}, at the pace of ${projected_from}`];
}

function Detail({ page }: { page: SloPage }) {
  const { status, points } = page;
  const [when, why] = ends(page);
  return (
    <>
      <header class="title"><h1>{status.slo}<span class="version">{status.objective} %</span></h1><span class={`badge ${sloState(status)}`}><Shape state={sloState(status)} />{STATES[sloState(status)]}</span>{status.description && <p class="sentence">{status.description}</p>}</header>
      <dl class="stats tiles">
        <Stat name="Budget" value={budgetText(status)} />
        <Stat name="Ends" value={when} note={why} />
        <Stat name="Bad" value={count(status.bad)} note={`of ${plural(status.events, "event")}`} />
        <Stat name="Model" value={status.model} note={<a href={to({ view: "model", model: status.model })}>its traffic and drift</a>} />
        <Stat name="Period" value={span(page.period_ms)} />
      </dl>
      <Panel title="Budget" aside="what was left of it, over the period">{points.length > 1 ? <BurnDown page={page} points={points} /> : <Empty title="No events in the period"><p>The budget is drawn from the first request that counts.</p></Empty>}</Panel>
      <Panel title="Burn rates" aside="1× spends the budget exactly in the period; the line is where it alerts"><Burns burn={status.burn} /></Panel>
    </>
  );
}

function BurnDown({ page, points }: { page: SloPage; points: SloPage["points"] }) {
  const { status, exhausted_ms, period_ms } = page;
  const last = points.at(-1)!;
  const first = points[0]!.at_ms;
  // The projection is drawn where something is left, and it ends soon enough to be seen beside what was.
  const near = exhausted_ms !== null && last.remaining > 0 && exhausted_ms - last.at_ms < Math.max(last.at_ms - first, period_ms / 8) ? exhausted_ms : null;
  const x = [...points.map((point) => point.at_ms), ...(near === null ? [] : [near])];
  const left: (number | null)[] = [...points.map((point) => point.remaining), ...(near === null ? [] : [null])];
  const projected = x.map((at) => (at === last.at_ms ? last.remaining : at === near ? 0 : null));
  const low = Math.min(0, ...points.map((point) => point.remaining));
  return (
    <Chart says={`Budget of ${status.slo} from ${moment(first)} until now: ${budgetText(status)}`} x={x} time low={low} high={1.02} height={240} read={(v) => percent(v, Math.abs(v) < 0.1 && v !== 0 ? 1 : 0)} marks={[{ at: 0, ink: "bad", across: true, label: "spent" }]} series={[
      { name: "budget left", values: left, ink: "accent", field: 0.14 },
      ...(near === null ? [] : [{ name: "projected", values: projected, ink: "bad", dash: true }]),
    ]} />
  );
}

