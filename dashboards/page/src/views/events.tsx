// What happened: deployments, references, changes of state.

import { api, query, type Event, type Glance } from "../api";
import { clock, day } from "../format";
import { now, useAsk } from "../live";
import { Answer, Empty, Time } from "../parts";
import { change, rangeOf, to } from "../route";
import { Shape, type Word } from "../state";

const SHAPES: Record<string, Word> = { drift: "drifted", shadow: "hold", deployment: "promote", baseline: "resolved", slo: "watch", failed: "watch", breaker_open: "watch", breaker_closed: "resolved", ready: "stable" };
const KINDS = ["drift", "shadow", "rollout", "deployment", "baseline", "load", "ready", "failed", "switch", "canary", "rollback", "role", "unload", "breaker_open", "breaker_closed"];

const capital = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}`;

/** A verdict on a shadow: the word, the terms it was asked on, and the reason, which names them again where they matter. */
const VERDICT = /^(promote|hold|reject): (?:against (.+?), agreement of .+? asked at alpha [\d.e-]+\. )?([^]*)$/;

/** What a proxy tells of its versions is told as these begin. */
const BEGINNINGS: Record<string, string> = { load: "Loading", ready: "Ready" };

/** Most events are sentences; what a proxy tells of its versions goes on from its kind. */
function sentence({ kind, text }: Event): string {
  const [, verdict, , reason] = VERDICT.exec(text) ?? [];
  if (kind === "shadow" && verdict && reason) return `${capital(verdict)}: ${reason[0]!.toLowerCase()}${reason.slice(1)}`;
  if (/^[A-Z0-9]/.test(text)) return text;
  const begins = BEGINNINGS[kind] ?? `${capital(kind.replaceAll("_", " "))}:`;
  return `${begins} ${text}`;
}

/** The version that a shadow was compared with. */
const beside = ({ kind, text }: Event) => (kind === "shadow" ? VERDICT.exec(text)?.[2] : undefined);

function shape(event: Event): Word {
  if (event.kind === "drift") return /\bresolved|no longer/i.test(event.text) ? "resolved" : "drifted";
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
          <div><p title={event.text}>{sentence(event)}</p><p class="small quiet">{event.kind.replaceAll("_", " ")}{event.model && <> · <a href={place(event)}>{event.model}</a></>}{event.version && ` · ${event.version}`}{beside(event) && ` beside ${beside(event)}`}</p></div>
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
        <label>Kind<select value={kind} onChange={(event) => change({ kind: event.currentTarget.value })}><option value="">all</option>{KINDS.map((one) => <option key={one} value={one}>{one.replaceAll("_", " ")}</option>)}</select></label>
      </form>
      <Answer asked={found}>{(events) => events.length ? <Days events={events} /> : <section class="card"><Empty title="Nothing happened in this range"><p>Choose a longer range, or another model.</p></Empty></section>}</Answer>
    </>
  );
}

function Days({ events }: { events: Event[] }) {
  const days = Map.groupBy(events, (event) => day(event.at_ms));
  return <>{[...days].map(([name, list]) => <section class="card" key={name}><h2>{name}<span class="aside">{clock(list.at(-1)!.at_ms)} – {clock(list[0]!.at_ms)}</span></h2><EventList events={list} /></section>)}</>;
}
