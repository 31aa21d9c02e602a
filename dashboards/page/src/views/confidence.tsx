// How sure a model is, and how far that can be believed.

import { api, type ConfidenceRange, type ModelPage, type Quality } from "../api";
import { Chart, Panel } from "../chart";
import { count, percent, plural } from "../format";
import { useAsk } from "../live";
import { Answer, Empty, Shares, Stat, Tabs } from "../parts";
import { zoom } from "../route";
import { Badge } from "../state";
import { useRanged } from "./model";
import { ConceptOf, QualityOf, ReliabilityDiagram } from "./quality";

export function Confidence({ model, asked }: { model: string; asked: URLSearchParams }) {
  const path = `${api("models", model)}?limit=0`;
  const found = useAsk<ModelPage>(path, () => path, 5_000);
  const range = useRanged<ConfidenceRange>(asked, `${api("models", model)}/confidence`);
  const quality = useRanged<Quality>(asked, `${api("models", model)}/quality`);
  return (
    <>
      {!found.data && <h1>{model}</h1>}
      <Answer asked={found}>
        {(page) => (
          <>
            <header class="title"><h1>{model}<span class="version">{page.version}</span></h1><Badge state={page.state} /></header>
            <Tabs model={model} here="confidence" />
            <dl class="stats tiles">
              <Stat name="Mean confidence" value={page.confidence_mean === null ? "–" : page.confidence_mean.toFixed(3)} note="last window" />
              <Stat name="Answers" value={count(range.data?.points.reduce((sum, point) => sum + point.answers, 0))} note="in the range" />
              <Stat name="Below the floor" value={percent(low(range.data))} note="in the range" />
              <Stat name="Labelled" value={count(range.data?.labelled)} />
              <Stat name="Calibration error" value={range.data?.calibration_error == null ? "–" : percent(range.data.calibration_error)} note={range.data?.calibration_error == null ? "needs labels" : "expected, over ten bins"} />
            </dl>
          </>
        )}
      </Answer>
      {(found.data || !found.failure) && (
        <>
          <Answer asked={range}>{(data) => <OverTime data={data} model={model} />}</Answer>
          <div class="grid two">
            <Panel title="Histogram" aside="last window over reference">{found.data?.confidence ? <Histogram page={found.data} /> : <Empty title="No confidence in the last window"><p>Models that answer without probabilities have none.</p></Empty>}</Panel>
            <Panel title="Reliability" aside={range.data?.labelled ? `${plural(range.data.labelled, "labelled answer")}` : null}><Answer asked={quality}>{({ classes }) => (classes?.reliability.length ? <ReliabilityDiagram classes={classes} /> : <Unlabelled />)}</Answer></Panel>
          </div>
          {found.data?.concept && <ConceptOf concept={found.data.concept} />}
          {quality.data && <QualityOf quality={quality.data} />}
          {found.data && found.data.classes.length > 0 && <Panel title="Answers" aside="share of each label"><Shares rows={found.data.classes} /></Panel>}
        </>
      )}
    </>
  );
}

function low(range: ConfidenceRange | null): number | null {
  if (!range) return null;
  const answers = range.points.reduce((sum, point) => sum + point.answers, 0);
  return answers ? range.points.reduce((sum, point) => sum + point.low * point.answers, 0) / answers : null;
}

function OverTime({ data, model }: { data: ConfidenceRange; model: string }) {
  if (data.points.length < 2) return <Panel title="Confidence over time"><Empty title="No answers with a confidence in this range"><p>Choose a longer range.</p></Empty></Panel>;
  const x = data.points.map((point) => point.at_ms);
  return (
    <Panel title="Confidence over time">
      <Chart says={`Confidence of ${model}: mean, median and 5th percentile, and the share of answers below the floor`} x={x} time onZoom={zoom} low={0} high={1} height={220} read={(v) => v.toFixed(2)} series={[
        { name: "median", values: data.points.map((p) => p.p50), ink: "good" },
        { name: "mean", values: data.points.map((p) => p.mean), ink: "accent" },
        { name: "5th percentile", values: data.points.map((p) => p.p05), ink: "calm", thin: true },
        { name: "share below the floor", values: data.points.map((p) => p.low), ink: "bad", field: 0.2, thin: true, read: percent },
      ]} />
    </Panel>
  );
}

function Histogram({ page }: { page: ModelPage }) {
  const { edges, reference, current } = page.confidence!;
  const steps = (shares: number[]) => [...shares, shares.at(-1) ?? 0];
  return (
    <Chart says={`Confidence of ${page.model} in ${current.length} bins: the last window${reference.length ? " over the reference" : ""}`} x={edges} low={0} from={0} until={1} height={240} read={percent} readX={(v) => v.toFixed(2)} series={[
      { name: "last window", values: steps(current), ink: "accent", field: 0.22, shape: "steps" },
      ...(reference.length ? [{ name: "reference", values: steps(reference), ink: "ink", shape: "steps" as const, dash: true }] : []),
    ]} />
  );
}

const Unlabelled = () => (
  <Empty title="No labels yet">
    <p>Confidence becomes believable when it meets the truth. Send labels by the id that each answer carries; late is normal:</p>
    <pre tabIndex={0}><code>{"curl -s http://COLLECTOR/v1/labels \\\n  -H 'content-type: application/json' \\\n  -d '{\"labels\": [{\"id\": \"…\", \"label\": \"billing\"}]}'"}</code></pre>
  </Empty>
);
