// Shadows of a model: the verdict and its reason, the bounds closing in, what flips into what, and inputs on which they differ.

import { api, type Disagreement, type Flip, type ModelPage, type ShadowPage, type ShadowStatus } from "../api";
import { Chart, Panel } from "../chart";
import { count, percent, plural, short } from "../format";
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
