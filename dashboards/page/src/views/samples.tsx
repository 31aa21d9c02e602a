// Stored samples, masked before they were stored, by filter.

import { useState } from "preact/hooks";
import { api, query, type Glance, type Sample } from "../api";
import { count, latencyText, moment, percent } from "../format";
import { useAsk } from "../live";
import { Answer, Empty, Masked, readable } from "../parts";
import { change, to } from "../route";
import { Shape } from "../state";

const OUTCOMES = ["ok", "error", "timeout", "rejected", "cancelled", "invalid"];
const PAGE = 50;

export function Samples({ glance, asked }: { glance: Glance | null; asked: URLSearchParams }) {
  const of = (name: string) => asked.get(name) ?? "";
  const [model, outcome, label, contains, most, before] = ["model", "outcome", "label", "match", "confidence_max", "before"].map(of) as [string, string, string, string, string, string];
  const path = query(api("samples"), { model, outcome, label, match: contains, confidence_max: most, before_ms: before, limit: PAGE });
  const found = useAsk<Sample[]>(path, () => path, before ? 0 : 5_000);
  const known = glance?.models.map((one) => one.model) ?? [];
  return (
    <>
      <h1>Samples</h1>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>Model<select value={model} onChange={(event) => change({ model: event.currentTarget.value, before: "" })}><option value="">all</option>{known.map((one) => <option key={one}>{one}</option>)}{model && !known.includes(model) && <option>{model}</option>}</select></label>
        <label>Outcome<select value={outcome} onChange={(event) => change({ outcome: event.currentTarget.value, before: "" })}><option value="">all</option>{OUTCOMES.map((one) => <option key={one}>{one}</option>)}</select></label>
        <label>Label<input type="text" value={label} onChange={(event) => change({ label: event.currentTarget.value.trim(), before: "" })} /></label>
        <label>Confidence at most<select value={most} onChange={(event) => change({ confidence_max: event.currentTarget.value, before: "" })}><option value="">any</option>{["0.3", "0.5", "0.7", "0.9"].map((one) => <option key={one}>{one}</option>)}</select></label>
        <label>Contains<input type="search" value={contains} onChange={(event) => change({ match: event.currentTarget.value, before: "" })} /></label>
      </form>
      <Answer asked={found}>{(samples) => samples.length ? <List samples={samples} older={Boolean(before)} /> : <section class="card"><Empty title="No sample matches"><p>{glance?.pipeline.payloads ? "Loosen the filter. The newest twenty thousand samples are looked through." : "Samples are stored when the proxy mirrors payloads; errors, slow answers and low confidence are always kept."}</p></Empty></section>}</Answer>
    </>
  );
}

function List({ samples, older }: { samples: Sample[]; older: boolean }) {
  return (
    <section class="card">
      <h2>{count(samples.length)} shown<span class="aside">newest first, masked before they were stored</span></h2>
      <ol class="samples">{samples.map((sample) => <One key={sample.id} sample={sample} />)}</ol>
      <p class="feet">
        {older && <button type="button" onClick={() => change({ before: "" })}>Newest</button>}
        {samples.length === PAGE && <button type="button" onClick={() => change({ before: String(samples.at(-1)!.at_ms) })}>Older</button>}
      </p>
    </section>
  );
}

function One({ sample }: { sample: Sample }) {
  const [open, set] = useState(false);
  const bad = sample.outcome !== "ok";
  return (
    <li>
      <p class="line">
        <Shape state={bad ? "watch" : "stable"} />
        <a href={to({ view: "model", model: sample.model })}>{sample.model}</a><span class="version">{sample.version}</span>
        <span class="chip">{bad ? `${sample.outcome}${sample.reason ? `: ${sample.reason}` : ""}` : sample.label || "ok"}{sample.confidence !== null && <span class="quiet"> {sample.confidence.toFixed(2)}</span>}</span>
        <span class="right quiet small"><time dateTime={new Date(sample.at_ms).toISOString()}>{moment(sample.at_ms)}</time> · {latencyText(sample.total_ms)}</span>
      </p>
      <p class={`text ${open ? "" : "cut"}`}>{sample.input ? <Masked text={readable(sample.input)} /> : <span class="quiet">no input stored</span>}</p>
      <details onToggle={(event) => set(event.currentTarget.open)}>
        <summary class="small">Answer and more</summary>
        <p class="text"><Masked text={sample.output || "no output stored"} /></p>
        <p class="small quiet">observation <code>{sample.id}</code> · kept with probability {percent(sample.inclusion_probability)}</p>
      </details>
    </li>
  );
}
