// How good answers turned out, by labels; and how good they are expected to be, without.

import type { Classification, Concept, Estimate, Figure, Quality, Regression } from "../api";
import { Chart, Panel } from "../chart";
import { count, DASH, percent, plural, short } from "../format";
import { Stat } from "../parts";
import { Shape, word, type Word } from "../state";

const between = (one: Figure | null, read: (value: number) => string) => (one ? `${read(one.lower)} – ${read(one.upper)}` : undefined);

const Measured = ({ name, figure, read }: { name: string; figure: Figure | null; read: (value: number) => string }) => <Stat name={name} value={figure ? read(figure.value) : DASH} note={between(figure, read)} />;

export function QualityOf({ quality }: { quality: Quality }) {
  const { classes, numbers, estimate } = quality;
  return (
    <>
      {(estimate || classes || numbers) && (
        <Panel title="Quality" aside={quality.labelled ? `${plural(quality.labelled, "labelled answer")} of ${count(quality.answers)} in the range` : "no labels in the range"}>
          <dl class="stats tiles">
            <Stat name="Labelled" value={percent(quality.coverage)} note={quality.labelled ? "the figures speak of these" : "figures need labels"} />
            {estimate && <Expected estimate={estimate} />}
            {classes && <Figures classes={classes} />}
            {numbers && <Errors numbers={numbers} />}
          </dl>
        </Panel>
      )}
      {classes && classes.classes.length > 0 && <Classes classes={classes} />}
    </>
  );
}

const STATE: Record<Concept["kind"], Word> = { insufficient: "insufficient", stable: "stable", input: "watch", mix: "watch", concept: "drifted", both: "drifted", errors: "drifted" };

/** What changed: the inputs, what they mean, both, or neither. */
export function ConceptOf({ concept: c }: { concept: Concept }) {
  const drifted = c.parts.filter((one) => one.state === "drifted");
  return (
    <Panel title="Errors and inputs" aside="by labels as they arrive">
      <p class="sentence" data-concept={c.kind}><Shape state={STATE[c.kind]} /> {c.sentence}</p>
      {drifted.length > 0 && <ol class="changes">{drifted.slice(0, 12).map((one) => <li key={one.value}><Shape state={one.state} /><span>{word(one.state)}</span><span class="quiet small">{one.value === "(all)" ? "All answers" : `Where the truth is ${one.value}`}: {one.sentence}</span></li>)}</ol>}
    </Panel>
  );
}

function Expected({ estimate }: { estimate: Estimate }) {
  const test = estimate.back_test;
  return (
    <>
      <Stat name="Expected accuracy" value={percent(estimate.accuracy.value)} note={estimate.calibrated_by ? `calibrated by ${plural(estimate.calibrated_by, "label")}${estimate.within ? " of the range" : ""}` : "confidence as it is: no earlier labels"} />
      {estimate.macro_f1 && <Measured name="Expected F1" figure={estimate.macro_f1} read={(v) => v.toFixed(3)} />}
      {estimate.auroc && <Measured name="Expected AUROC" figure={estimate.auroc} read={(v) => v.toFixed(3)} />}
      {test && <Stat name="Expected of the labelled" value={percent(test.expected)} note={test.holds ? "holds" : `found ${percent(test.found.value)}`} state={test.holds ? undefined : "watch"} />}
    </>
  );
}

const Figures = ({ classes: c }: { classes: Classification }) => (
  <>
    <Measured name="Accuracy" figure={c.accuracy} read={percent} />
    <Stat name="Mean F1" value={c.macro_f1 === null ? DASH : c.macro_f1.toFixed(3)} note="over labelled classes" />
    <Measured name="Brier score" figure={c.brier} read={(v) => v.toFixed(3)} />
    <Measured name="Log loss" figure={c.log_loss} read={(v) => v.toFixed(3)} />
    <Stat name="AUROC" value={c.auroc ? c.auroc.value.toFixed(3) : DASH} note={c.auroc ? `${c.auroc_of}, ${between(c.auroc, (v) => v.toFixed(2))}` : undefined} />
  </>
);

const Errors = ({ numbers: n }: { numbers: Regression }) => (
  <>
    <Measured name="Mean absolute error" figure={n.mae} read={short} />
    <Measured name="Root mean square" figure={n.rmse} read={short} />
    <Measured name="Bias" figure={n.bias} read={short} />
    <Stat name="Errors" value={n.quantiles.map(short).join(" / ")} note="5th, 50th, 95th percentile" />
  </>
);

function Classes({ classes }: { classes: Classification }) {
  const cell = (one: Figure | null) => <td class="num" title={between(one, percent)}>{one ? percent(one.value) : DASH}</td>;
  return (
    <Panel title="By class" aside="most labels first">
      <div class="scroll" tabIndex={0} role="region" aria-label="Quality by class">
        <table>
          <thead><tr><th scope="col">Class</th><th scope="col" class="num">precision</th><th scope="col" class="num">recall</th><th scope="col" class="num">F1</th><th scope="col" class="num">labels</th><th scope="col" class="num">answers</th></tr></thead>
          <tbody>{classes.classes.slice(0, 40).map((one) => <tr key={one.label} data-class={one.label}><th scope="row">{one.label}</th>{cell(one.precision)}{cell(one.recall)}{cell(one.f1)}<td class="num">{count(one.support)}</td><td class="num">{count(one.answers)}</td></tr>)}</tbody>
        </table>
      </div>
    </Panel>
  );
}

/** Accuracy against confidence, each bin with its interval. */
export function ReliabilityDiagram({ classes }: { classes: Classification }) {
  // The diagonal needs both ends; the bins have none there.
  const nothing = { n: 0, accuracy: null };
  const points = [{ confidence: 0, ...nothing }, ...classes.reliability, { confidence: 1, ...nothing }];
  const of = (end: (figure: Figure) => number) => points.map((p) => (p.accuracy ? end(p.accuracy) : null));
  return (
    <Chart says={`Accuracy against confidence in ${plural(classes.reliability.length, "bin")}, each between the ends of its interval; on the diagonal a model is as often right as it is sure. Expected calibration error ${percent(classes.calibration_error)}`} x={points.map((p) => p.confidence)} from={0} until={1} low={0} high={1} height={240} read={(v) => v.toFixed(2)} readX={(v) => v.toFixed(2)} bands={[[1, 2]]} series={[
      { name: "as sure as right", values: points.map((p) => p.confidence), ink: "soft", dash: true, thin: true },
      { name: "at most", values: of((figure) => figure.upper), ink: "calm", thin: true },
      { name: "at least", values: of((figure) => figure.lower), ink: "calm", thin: true },
      { name: "accuracy", values: of((figure) => figure.value), ink: "accent", shape: "dots" },
    ]} />
  );
}
