// Parts of the traffic: which of them a feature's shift comes from, and what was judged of each.

import { useState } from "preact/hooks";
import type { Cause, FeatureDetail, FeatureVerdict, SegmentVerdict } from "../api";
import { Panel } from "../chart";
import { count, distance, percent, plural, power } from "../format";
import { Empty } from "../parts";
import { Shape, word } from "../state";

/** Parts in sight before somebody asks for more. */
const SHOWN = 24;

export function Where({ verdict, segments, parts }: { verdict: FeatureVerdict; segments: SegmentVerdict[]; parts: FeatureDetail["parts"] }) {
  if (!parts && !verdict.causes.length) return null;
  return (
    <div class="grid two">
      {verdict.causes.length > 0 && <Causes causes={verdict.causes} />}
      {segments.length > 0 ? <Parts segments={segments} judged={parts?.judged ?? segments.length} /> : parts && <None waiting={parts.waiting} />}
    </div>
  );
}

const None = ({ waiting }: { waiting: string[] }) => (
  <Panel title="By segment">
    <Empty title="No part of the traffic is judged for this feature">
      <p>{waiting.length ? `The reference of ${waiting.join(", ")} is made of the first observations (analyzer.segments.reference) and still gathered.` : "The bound on tests (analyzer.segments.max_tests) left it out, or no value of a segment had any of its values."}</p>
    </Empty>
  </Panel>
);

const part = (one: Cause) => Math.abs(one.within + one.mix);

/** What moved, or how much more or less frequent it became. */
const how = (one: Cause) => (one.before !== null && one.now !== null && Math.abs(one.within) >= Math.abs(one.mix) ? `its own values ${percent(one.before)} → ${percent(one.now)}` : `its share ${percent(one.share_before)} → ${percent(one.share_now)}`);

function Causes({ causes }: { causes: Cause[] }) {
  const top = Math.max(0.01, ...causes.map(part));
  return (
    <Panel title="Where it comes from" aside="part of the shift">
      <div class="shares">
        {causes.map((one) => {
          const name = `${one.segment} = ${one.value}`;
          return (
            <div class="share" key={name} data-cause={name}>
              <span class="name" title={name}>{name}</span>
              <span class="track" role="img" aria-label={`${name}: ${distance(part(one))} of the shift, ${how(one)}`}><span class="bar" style={{ width: `${(part(one) / top) * 100}%` }} /></span>
              <span class="num">{distance(part(one))}</span>
              <span class="num quiet" title={how(one)}>{percent(one.share_now)}</span>
            </div>
          );
        })}
        <p class="quiet small">{causes[0]!.segment} = {causes[0]!.value}: {how(causes[0]!)}. The last column is each one's share of the values.</p>
      </div>
    </Panel>
  );
}

function Parts({ segments, judged }: { segments: SegmentVerdict[]; judged: number }) {
  const [all, show] = useState(false);
  const drifted = segments.filter((one) => one.state === "drifted").length;
  const shown = all ? segments : segments.slice(0, SHOWN);
  return (
    <Panel title="By segment" aside={`${plural(drifted, "part")} drifted of ${count(judged)}`}>
      <div class="scroll" tabIndex={0} role="region" aria-label="Parts of the traffic and their verdicts">
        <table class="features">
          <thead><tr><th scope="col">Part</th><th scope="col">State</th><th scope="col" class="num">at least</th><th scope="col" class="num">evidence</th><th scope="col" class="num">n</th></tr></thead>
          <tbody>
            {shown.map((one) => (
              <tr key={`${one.segment}=${one.value}`} class={one.state} title={one.sentence} data-segment={one.segment} data-value={one.value} data-state={one.state}>
                <th scope="row">{one.segment} = {one.value}</th>
                <td class="is"><Shape state={one.state} /><span>{word(one.state)}</span></td>
                <td class="num">{distance(one.ks_lower)}</td>
                <td class="num">{power(one.evidence)}</td>
                <td class="num">{count(one.n)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown.length < segments.length && <p><button type="button" onClick={() => show(true)}>{`Show ${count(segments.length)}, loudest first`}</button></p>}
      {all && segments.length < judged && <p class="quiet small">The other {count(judged - segments.length)} are in the API.</p>}
    </Panel>
  );
}
