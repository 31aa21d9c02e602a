// What happened: deployments, references, changes of state.

import { api, query, type Event, type Glance } from "../api";
import { clock, day } from "../format";
import { now, useAsk } from "../live";
import { Answer, Empty, Time } from "../parts";
import { change, rangeOf, to } from "../route";
import { Shape, type Word } from "../state";

const SHAPES: Record<string, Word> = { drift: "drifted", shadow: "hold", deployment: "promote", baseline: "resolved", slo: "watch" };
const KINDS = ["drift", "shadow", "rollout", "deployment", "baseline", "load", "ready", "switch", "canary"];

/** Most events are sentences; what a proxy tells of its versions goes on from its kind. */
const sentence = ({ kind, text }: Event) => (/^[A-Z0-9]/.test(text) || /^(promote|hold|reject):/.test(text) ? text : `${kind[0]!.toUpperCase()}${kind.slice(1)} ${text}`);

function shape(event: Event): Word {
  if (event.kind === "drift") return /resolved|no longer|over/.test(event.text) ? "resolved" : "drifted";
  const verdict = event.kind === "shadow" ? /^(promote|hold|reject):/.exec(event.text) : null;
  return (verdict?.[1] as Word | undefined) ?? SHAPES[event.kind] ?? "insufficient";
}

/** Where there is more to see of it. */
const place = ({ kind, model, version }: Event) => to(kind === "shadow" && version ? { view: "shadows", model, shadow: version } : { view: "model", model });

export function EventList({ events }: { events: Event[] }) {
  if (!events.length) return <Empty title="Nothing happened yet"><p>Deployments, references and changes of state will be listed here.</p></Empty>;
  return (
    <ol class="events">
      {events.map((event, i) => (
        <li key={`${event.at_ms}${event.text}${i}`}>
          <Shape state={shape(event)} />
          <div><p>{sentence(event)}</p><p class="small quiet">{event.kind}{event.model && <> · <a href={place(event)}>{event.model}</a></>}{event.version && ` · ${event.version}`}</p></div>
          <Time at={event.at_ms} />
        </li>
      ))}
    </ol>
  );
}

export function Events({ glance, asked }: { glance: Glance | null; asked: URLSearchParams }) {
  const [model, kind] = [asked.get("model") ?? "", asked.get("kind") ?? ""];
  const key = asked.toString();
  const found = useAsk<Event[]>(key, () => {
    const { from_ms, to_ms, live } = rangeOf(asked, now());
    return query(api("events"), { model, kind, from_ms: Math.round(from_ms), to_ms: Math.round(to_ms) + (live ? 1000 : 0) });
  }, 5000);
  return (
    <>
      <h1>Events</h1>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>Model<select value={model} onChange={(event) => change({ model: event.currentTarget.value })}><option value="">all</option>{(glance?.models ?? []).map((one) => <option key={one.model}>{one.model}</option>)}{model && !glance?.models.some((one) => one.model === model) && <option>{model}</option>}</select></label>
        <label>Kind<select value={kind} onChange={(event) => change({ kind: event.currentTarget.value })}><option value="">all</option>{KINDS.map((one) => <option key={one}>{one}</option>)}</select></label>
      </form>
      <Answer asked={found}>{(events) => events.length ? <Days events={events} /> : <section class="card"><Empty title="Nothing happened in this range"><p>Choose a longer range, or another model.</p></Empty></section>}</Answer>
    </>
  );
}

function Days({ events }: { events: Event[] }) {
  const days = Map.groupBy(events, (event) => day(event.at_ms));
  return <>{[...days].map(([name, list]) => <section class="card" key={name}><h2>{name}<span class="aside">{clock(list.at(-1)!.at_ms)} – {clock(list[0]!.at_ms)}</span></h2><EventList events={list} /></section>)}</>;
}
