// Shadows of a model: the verdict and its reason, the bounds closing in, what flips into what, and inputs on which they differ.

import { api, type ClassAgreement, type Disagreement, type Flip, type ModelPage, type ShadowPage, type ShadowStatus, type VerdictAnswer } from "../api";
import { Chart, Panel } from "../chart";
import { count, percent, plural, short, span } from "../format";
import { useAsk } from "../live";
import { Answer, Empty, Masked, readable, Stat, Tabs, Time } from "../parts";
import { to } from "../route";
import { Badge, Shape } from "../state";

export function Shadows({ model, shadow }: { model: string; shadow: string | undefined }) {
  const path = `${api("models", model)}?limit=0`;
  const found = useAsk<ModelPage>(path, () => path, 5_000);
  if (!found.data) return <><h1>{model}</h1><Answer asked={found}>{() => null}</Answer></>;
  return (
    <Answer asked={found}>
      {(page) => {
        const open = shadow ?? page.shadows[0]?.shadow;
        return (
          <>
            <header class="title"><h1>{model}<span class="version">{page.version}</span></h1><Badge state={page.state} /></header>
            <Tabs model={model} here="shadows" />
            {page.shadows.length > 1 && <nav class="chips" aria-label="Shadows">{page.shadows.map((one) => <a key={one.shadow} class="chip" aria-current={one.shadow === open ? "page" : undefined} href={to({ view: "shadows", model, shadow: one.shadow })}><Shape state={one.verdict} />{one.shadow}</a>)}</nav>}
            {open === undefined ? <section class="card"><Empty title="No shadow runs beside this model"><p>Give the model a version in <code>shadows</code> and it is asked the same as the primary, out of the way of the answers; its verdict appears here.</p></Empty></section> : <One key={open} model={model} shadow={open} />}
          </>
        );
      }}
    </Answer>
  );
}

function One({ model, shadow }: { model: string; shadow: string }) {
  const path = api("models", model, "shadows", shadow);
  const found = useAsk<ShadowPage>(path, () => path, 5_000);
  return (
    <Answer asked={found}>
      {(page) => (
        <>
          <section class={`card verdict ${page.status.verdict}`} aria-label="Verdict">
            <p class="big"><Badge state={page.status.verdict} /><span>version {page.status.shadow} beside {page.status.primary}</span></p>
            <p>{page.status.sentence}</p>
          </section>
          <Numbers status={page.status} />
          <Proof model={model} shadow={shadow} />
          <Panel title="Agreement" aside="and its bounds, valid at every look">{page.points.length > 1 ? <Closing page={page} /> : <Empty title="Too few pairs to draw"><p>The bounds appear with the first pairs and close in with each.</p></Empty>}</Panel>
          <div class="grid two">
            <Panel title="Flips" aside={page.status.pairs ? `${count(page.status.pairs - page.status.agreed)} of ${plural(page.status.pairs, "pair")}` : null}>{page.status.flips.length ? <Flips flips={page.status.flips} /> : <Empty title="No disagreement yet" />}</Panel>
            <Panel title="Disagreements" aside="newest samples, masked">{page.disagreements.length ? <Samples samples={page.disagreements} /> : <Empty title="None yet" />}</Panel>
          </div>
        </>
      )}
    </Answer>
  );
}

const interval = (bounds: ShadowStatus["sequence"]) => (bounds ? `${percent(bounds.lower)} – ${percent(bounds.upper)}` : "–");

const Numbers = ({ status }: { status: ShadowStatus }) => (
  <dl class="stats tiles">
    <Stat name="Agreement" value={percent(status.agreement)} />
    <Stat name="At every look between" value={interval(status.sequence)} />
    <Stat name="At one look (Wilson)" value={interval(status.wilson)} />
    <Stat name="Pairs" value={count(status.pairs)} />
    <Stat name="Failed or shed" value={count(status.failed)} />
    <Stat name="Run time" value={status.latency_ratio === null ? "–" : `${short(status.latency_ratio)}×`} note="of the primary's" />
  </dl>
);

/** How many more pairs, in words. */
const toGo = (needed: number | null) => (needed === 0 ? "proved" : needed === null ? "not by more pairs" : `about ${count(needed)} more`);

/** Each guardrail beside what it asks for, and the agreement label by label. */
function Proof({ model, shadow }: { model: string; shadow: string }) {
  const path = api("models", model, "shadows", shadow, "verdict");
  const found = useAsk<VerdictAnswer>(path, () => path, 5_000);
  return (
    <Answer asked={found}>
      {(answer) => (
        <div class="grid two">
          <Panel title="Guardrails" aside={answer.pairs.needed ? `about ${count(answer.pairs.needed)} more pairs would prove it` : answer.pairs.needed === 0 ? "proved" : "more pairs alone will not prove it"}><Guardrails answer={answer} /></Panel>
          <Panel title="Agreement by label" aside="for a look; none decides">{answer.classes.length ? <Classes classes={answer.classes} /> : <Empty title="No pairs yet" />}</Panel>
        </div>
      )}
    </Answer>
  );
}

/** What is asked beside agreement and failures: its words, how its numbers read, and which side of the limit is good. */
const GUARDS: Record<string, { what: string; show: (value: number | null) => string; least?: true }> = {
  slowdown: { what: "Run time over the primary's", show: (value) => (value === null ? "–" : `${short(value)}×`) },
  slow_runs: { what: "More runs beyond the objective's time", show: percent },
  confidence: { what: "Fall of confidence", show: (value) => (value === null ? "–" : value.toFixed(3)) },
  accuracy: { what: "Fall of accuracy by labels", show: percent },
  brier: { what: "Rise of the Brier score", show: (value) => (value === null ? "–" : value.toFixed(3)) },
  classes: { what: "Pairs of the rarest class", show: (value) => (value === null ? "–" : count(value)), least: true },
};

function Guardrails({ answer }: { answer: VerdictAnswer }) {
  const { agreement, pairs, failures, watched } = answer;
  const company = [answer.batch_variant && "this version's", answer.primary_batch_variant && "the primary's"].filter(Boolean).join(" and ");
  const rows: [string, string, string, boolean][] = [
    ["Agreement, at least", percent(agreement.lower), `${percent(agreement.required)} or more`, agreement.lower !== null && agreement.lower >= agreement.required],
    ["Pairs", count(pairs.seen), `${count(pairs.minimum)} or more`, pairs.seen >= pairs.minimum],
    ["Failed or shed", `${percent(failures.ratio)} (${count(failures.errors)} failed, ${count(failures.shed)} shed)`, `${percent(failures.allowed)} or less`, failures.ratio !== null && failures.ratio <= failures.allowed],
    ...answer.guardrails.filter(({ name }) => name in GUARDS).map(({ name, state, upper, observed, limit, n }): [string, string, string, boolean] => {
      const { what, show, least } = GUARDS[name]!;
      const is = state === "unasked" ? `not asked of ${plural(n, "labelled pair")}` : show(least ? observed : upper);
      return [`${what}, at ${least ? "least" : "most"}`, is, `${show(limit)} or ${least ? "more" : "less"}`, state === "proved" || state === "unasked"];
    }),
    ["Watched for", span(watched.seconds * 1_000), `${span(watched.minimum * 1_000)} or more`, watched.seconds >= watched.minimum],
  ];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Guardrails">
      <table class="guardrails">
        <thead><tr><th scope="col">What a promotion asks for</th><th scope="col">is</th><th scope="col">asked</th><th scope="col">met</th></tr></thead>
        <tbody>{rows.map(([what, is, asked, met]) => <tr key={what}><th scope="row">{what}</th><td>{is}</td><td>{asked}</td><td>{met ? "yes" : "not yet"}</td></tr>)}</tbody>
      </table>
      {answer.tests.length > 0 && <details><summary>Classical tests of the same pairs, each for one look</summary><ul class="small">{answer.tests.map((test) => <li key={test.test}>{test.sentence}</li>)}</ul></details>}
      {company && <p class="quiet small">Answers of {company} may depend on the others in their batch: a difference may be no fault of the weights.</p>}
    </div>
  );
}

const Classes = ({ classes }: { classes: ClassAgreement[] }) => (
  <div class="scroll tall" tabIndex={0} role="region" aria-label="Agreement by label">
    <table class="classes">
      <thead><tr><th scope="col">The primary's label</th><th scope="col" class="num">pairs</th><th scope="col" class="num">at every look between</th><th scope="col" class="num">to go</th></tr></thead>
      <tbody>
        {classes.map((one) => (
          <tr key={one.label}>
            <th scope="row">{one.label}</th><td class="num">{count(one.pairs)}</td><td class="num">{one.lower === null || one.upper === null ? "–" : `${percent(one.lower)} – ${percent(one.upper)}`}</td><td class="num">{toGo(one.needed)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

function Closing({ page }: { page: ShadowPage }) {
  const { points, agreement_min } = page;
  const settled = points.slice(Math.floor(points.length / 6));
  const least = Math.min(agreement_min, ...settled.map((point) => point.lower));
  const low = Math.max(0, Math.floor((least - 0.03) * 20) / 20);
  return (
    <Chart says={`Agreement of the shadow over ${plural(points.at(-1)!.pairs, "pair")} with its bounds; ${percent(agreement_min)} is asked`} x={points.map((p) => p.at_ms)} time low={low} high={1} height={250} bands={[[0, 2]]} read={(v) => percent(v, 1)} marks={[{ at: agreement_min, ink: "bad", across: true, dash: true, label: `${percent(agreement_min, 1)} asked` }]} series={[
      { name: "at most", values: points.map((p) => p.upper), ink: "calm", thin: true },
      { name: "agreement", values: points.map((p) => p.agreement), ink: "accent" },
      { name: "at least", values: points.map((p) => p.lower), ink: "calm", thin: true },
    ]} />
  );
}

/** What the primary said, by what the shadow said instead. */
function Flips({ flips }: { flips: Flip[] }) {
  const rows = [...new Set(flips.map((flip) => flip.primary))];
  const columns = [...new Set(flips.map((flip) => flip.shadow))];
  const most = Math.max(...flips.map((flip) => flip.pairs));
  const pairs = (primary: string, shadow: string) => flips.find((flip) => flip.primary === primary && flip.shadow === shadow)?.pairs;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Flips by label">
      <table class="flips">
        <caption>The primary's label by the shadow's</caption>
        <thead><tr><td />{columns.map((shadow) => <th scope="col" key={shadow}>{shadow}</th>)}</tr></thead>
        <tbody>
          {rows.map((primary) => (
            <tr key={primary}>
              <th scope="row">{primary}</th>
              {columns.map((shadow) => {
                const n = pairs(primary, shadow);
                return <td key={shadow} class={primary === shadow ? "same" : ""}>{n === undefined ? "" : <span class="heat" style={{ "--depth": String(0.12 + 0.6 * (n / most)) } as never}>{count(n)}</span>}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const Samples = ({ samples }: { samples: Disagreement[] }) => (
  <div class="scroll tall" tabIndex={0} role="region" aria-label="Disagreements">
    <ol class="samples">
      {samples.map((one, i) => (
        <li key={`${one.id}${i}`}>
          <p class="line"><span class="chip">{one.primary} <span class="quiet">{one.primary_confidence.toFixed(2)}</span></span><span aria-hidden="true">→</span><span class="chip">{one.shadow} <span class="quiet">{one.shadow_confidence.toFixed(2)}</span></span><span class="right quiet small"><Time at={one.at_ms} /></span></p>
          {one.input ? <p class="text"><Masked text={readable(one.input)} /></p> : <p class="quiet small">its input was not sampled</p>}
        </li>
      ))}
    </ol>
  </div>
);
