// The page: what is live, where the reader is, and the frame around the views.

import { render, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Glance } from "./api";
import { clock, plural, span } from "./format";
import { age, start, useLive, useTick, type Live } from "./live";
import { burning } from "./parts";
import { change, parse, RANGES, rangeOf, to, useRoute, type Place, type Route } from "./route";
import { Badge, Shape, type Word } from "./state";
import { nextTheme, useTheme } from "./theme";
import { Confidence } from "./views/confidence";
import { Events } from "./views/events";
import { Feature } from "./views/feature";
import { Model } from "./views/model";
import { Overview } from "./views/overview";
import { PipelineView } from "./views/pipeline";
import { Samples } from "./views/samples";
import { Shadows } from "./views/shadows";
import { Slo, Slos } from "./views/slos";
import "./style.css";

const VIEWS: [Place["view"] & ("overview" | "slos" | "samples" | "events" | "pipeline"), string, string][] = [
  ["overview", "Models", "m"],
  ["slos", "Objectives", "o"],
  ["samples", "Samples", "s"],
  ["events", "Events", "e"],
  ["pipeline", "Pipeline", "p"],
];
/** Views that show a range of time. */
const RANGED = new Set<Place["view"]>(["model", "confidence", "feature", "events"]);

/** Whose clock is shown: people who talk about one picture may sit in several places. */
function zone(): string {
  const offset = new Intl.DateTimeFormat("en-GB", { timeZoneName: "longOffset" }).formatToParts().find(({ type }) => type === "timeZoneName");
  const [name, from] = [Intl.DateTimeFormat().resolvedOptions().timeZone, (offset?.value ?? "GMT").replace("GMT", "UTC").replace(/\+00:00$/, "")];
  return name && name !== from ? `${name} (${from})` : from;
}

/** The worst that is the case, in words, and where to look at it. */
function overall(glance: Glance | null): [Word, string, Place] {
  const all: Place = { view: "overview" };
  if (!glance) return ["insufficient", "Waiting for the analyzer", all];
  const of = (state: Word) => glance.models.filter((model) => model.state === state).map((model) => model.model);
  const named = (names: string[], one = "model") => (names.length > 3 ? plural(names.length, one) : names.join(", "));
  const losing = glance.slos.filter(burning).map((slo) => slo.slo);
  const model = (models: string[]): Place => (models.length === 1 ? { view: "model", model: models[0]! } : all);
  const burned: Place = losing.length === 1 ? { view: "slo", slo: losing[0]! } : { view: "slos" };
  const loud = [of("drifted").length ? `${named(of("drifted"))} drifted` : "", losing.length ? `${named(losing, "objective")} losing budget too fast` : ""].filter(Boolean);
  if (loud.length) return ["drifted", loud.join(" · "), of("drifted").length ? model(of("drifted")) : burned];
  if (of("watch").length) return ["watch", `Watching ${named(of("watch"))}`, model(of("watch"))];
  if (!glance.models.length) return ["insufficient", "No models yet", all];
  if (of("insufficient").length) return ["insufficient", `Too little data on ${named(of("insufficient"))}`, model(of("insufficient"))];
  return ["stable", glance.models.length === 1 ? "All quiet" : `All ${glance.models.length} models quiet`, all];
}

function title(place: Place): string {
  switch (place.view) {
    case "slo": return place.slo;
    case "feature": return `${place.feature} of ${place.model}`;
    case "model": return place.model;
    case "confidence": return `Confidence of ${place.model}`;
    case "shadows": return `Shadows of ${place.model}`;
    default: return VIEWS.find(([view]) => view === place.view)?.[1] ?? "";
  }
}

function View({ route, live }: { route: Route; live: Live }): JSX.Element {
  const { place, asked } = route;
  const { glance } = live;
  switch (place.view) {
    case "overview": return <Overview glance={glance} />;
    case "slos": return <Slos glance={glance} />;
    case "slo": return <Slo key={place.slo} slo={place.slo} />;
    case "samples": return <Samples glance={glance} asked={asked} />;
    case "events": return <Events glance={glance} asked={asked} />;
    case "pipeline": return <PipelineView glance={glance} />;
    case "model": return <Model key={place.model} model={place.model} asked={asked} glance={glance} />;
    case "confidence": return <Confidence key={place.model} model={place.model} asked={asked} />;
    case "shadows": return <Shadows key={place.model} model={place.model} shadow={place.shadow} />;
    case "feature": return <Feature key={`${place.model}/${place.feature}`} model={place.model} feature={place.feature} asked={asked} />;
  }
}

function Ranges({ asked }: { asked: URLSearchParams }) {
  const range = rangeOf(asked, Date.now());
  return (
    <div class="ranges" role="group" aria-label="Range of time">
      {!range.live && <button type="button" class="fixed" onClick={() => change({ from: "", to: "", range: "" })} title="Back to now">{`${clock(range.from_ms)} – ${clock(range.to_ms)}`} ×</button>}
      {RANGES.map(([name]) => <button type="button" key={name} aria-pressed={range.live && name === range.name} onClick={() => change({ range: name, from: "", to: "" })}>{name}</button>)}
    </div>
  );
}

function Fresh({ live }: { live: Live }) {
  useTick();
  if (!live.glance) return <p class={`fresh ${live.problem ? "stale" : "waits"}`}><span class="dot" />{live.problem ? "no answer" : "connecting"}</p>;
  const old = age(live);
  const stale = live.problem !== null || old > 15_000;
  return <p class={`fresh ${stale ? "stale" : ""}`} title="When the analyzer last looked at everything"><span class="dot" />{stale ? `${span(old)} old` : "live"}<span class="at"> {clock(live.glance.at_ms)}</span></p>;
}

/** Cycles that fail are worth a word: everything shown was known before them. */
const SILENT_MS = 60_000;

/** What is wrong with what is shown, in a sentence. */
function Notice({ live: { glance, heard, problem } }: { live: Live }) {
  useTick();
  const known = glance ? "what you see is what it said last" : "nothing was heard of it yet";
  const wrong = problem
    ? `The analyzer ${problem.told ? "cannot tell" : "does not answer"}: ${problem.message}. It is asked again every few seconds; ${known}.`
    : glance && age({ glance, heard, problem }) > SILENT_MS
      ? `The analyzer answers and has looked at nothing since ${clock(glance.at_ms)}: mostly its database is away, and its log says why. What you see was known then.`
      : "";
  if (!wrong) return null;
  return <div class="banner" role="alert"><p class="bar"><Shape state="watch" /><span>{wrong}</span></p></div>;
}

const KEYS: [string, string][] = [
  ["m o s e p", "models, objectives, samples, events, pipeline"],
  ["[ ]", "a shorter, a longer range of time"],
  ["/", "look for a feature or a sample"],
  ["t", "dark, light, or as the system has it"],
  ["Esc", "one step up"],
  ["?", "this list"],
];

function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    if (!open) dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl class="keys-list">{KEYS.map(([key, what]) => <div key={key}><dt>{key.split(" ").map((one) => <kbd key={one}>{one}</kbd>)}</dt><dd>{what}</dd></div>)}</dl>
      <p class="quiet small">Mark a stretch of a chart to look closer; the address changes with it and can be sent to somebody.</p>
      <button type="button" onClick={close}>Close</button>
    </dialog>
  );
}

/** The place above this one. */
function up(place: Place): Place {
  if (place.view === "slo") return { view: "slos" };
  if (place.view === "feature" || place.view === "confidence" || place.view === "shadows") return { view: "model", model: place.model };
  return { view: "overview" };
}

function press(event: KeyboardEvent, help: (open: boolean) => void): void {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const target = event.target as HTMLElement;
  if (target.closest("input, select, textarea")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const view = VIEWS.find(([, , key]) => key === event.key);
  const { place, asked } = parse(location.hash);
  if (view) location.hash = to({ view: view[0] });
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") help(true);
  else if (event.key === "Escape") location.hash = to(up(place));
  else if (event.key === "[" || event.key === "]") {
    const at = RANGES.findIndex(([name]) => name === rangeOf(asked, Date.now()).name);
    const next = RANGES[Math.max(0, Math.min(RANGES.length - 1, (at < 0 ? 1 : at) + (event.key === "]" ? 1 : -1)))]!;
    change({ range: next[0], from: "", to: "" });
  } else if (event.key === "/") {
    document.querySelector<HTMLInputElement>("input[type=search]")?.focus();
    event.preventDefault();
  }
}

function App() {
  const live = useLive();
  const route = useRoute();
  const { choice } = useTheme();
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const here = `${route.place.view}/${title(route.place)}`;
  const before = useRef(here);
  const [state, sentence, worst] = overall(live.glance);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => press(event, setHelp);
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  useEffect(() => {
    document.title = `${state === "drifted" ? "◆ " : ""}${title(route.place)} – Driftline`;
  }, [here, state]);
  useEffect(() => {
    if (before.current === here) return;
    before.current = here;
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [here]);
  const shown = (view: Place["view"]) => route.place.view === view || (view === "slos" && route.place.view === "slo") || (view === "overview" && "model" in route.place);
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
      <header class="top">
        <div class="bar">
          <a class="wordmark" href={to({ view: "overview" })} aria-label="Driftline, all models">
            <svg viewBox="0 0 28 20" aria-hidden="true"><path d="M1 14c4 0 4-8 9-8s4 8 9 8 4-4 8-4" /><path class="mark" d="M1 18.5h26" /></svg>
            <span>driftline</span>
          </a>
          <nav class="views" aria-label="Views">{VIEWS.map(([view, name]) => <a key={view} href={to({ view })} aria-current={shown(view) ? "page" : undefined}>{name}</a>)}</nav>
          <div class="tools">
            <Fresh live={live} />
            <button type="button" class="icon" onClick={nextTheme} aria-label={`Colours: ${choice}`} title={`Colours: ${choice}`}>{choice === "dark" ? "☾" : choice === "light" ? "☀" : "◐"}</button>
            <button type="button" class="icon" onClick={() => setHelp(true)} aria-label="Keys">?</button>
          </div>
        </div>
      </header>
      <section class="strip" aria-label="Now">
        <div class="bar">
          <p class="overall" role="status"><a href={to(worst)}><Badge state={state}>{sentence}</Badge></a></p>
          {RANGED.has(route.place.view) && <Ranges asked={route.asked} />}
        </div>
        <Notice live={live} />
      </section>
      <main id="content" ref={main} tabIndex={-1}><View route={route} live={live} /></main>
      <footer><p class="bar quiet small">Read-only. Everything here is in the <a href="/openapi.json">API</a> and in <a href="/metrics">metrics</a>, too. Times are those of {zone()}.</p></footer>
      <Help open={help} close={() => setHelp(false)} />
    </>
  );
}

start();
const page = document.getElementById("page")!;
page.replaceChildren();
render(<App />, page);
