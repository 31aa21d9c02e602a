// Parts that views share.

import type { ComponentChildren } from "preact";
import type { BaselineInfo, Failure, FeatureVerdict, SloStatus } from "./api";
import { ago, DASH, distance, percent, plural, short } from "./format";
import { now, type Asked } from "./live";
import { to } from "./route";
import { Shape, type Word } from "./state";

export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty"><p class="title">{title}</p>{children}</div>
);

export const Trouble = ({ failure }: { failure: Failure }) => (
  <div class="empty trouble" role="alert">
    <p class="title"><Shape state={failure.missing ? "insufficient" : "watch"} />{failure.missing ? "Nothing of that name" : failure.told ? "This cannot be shown now" : "The analyzer did not answer"}</p>
    <p>{failure.message[0]!.toUpperCase() + failure.message.slice(1)}{failure.missing ? "." : "; it is asked again."}</p>
  </div>
);

/** An answer, or what stands in for it. */
export function Answer<T>({ asked, children }: { asked: Asked<T>; children: (data: T) => ComponentChildren }) {
  if (asked.data) return <>{children(asked.data)}</>;
  if (asked.failure) return <Trouble failure={asked.failure} />;
  return <div class="waiting" role="status" aria-label="Asking the analyzer" />;
}

export const Stat = ({ name, value, unit, note, state }: { name: string; value: string; unit?: string; note?: ComponentChildren; state?: Word }) => (
  <div class={`stat ${state ?? ""}`}>
    <dt>{name}</dt>
    <dd><span class="value">{value}</span>{unit && value !== DASH && <span class="unit">{unit}</span>}{note && <span class="note">{note}</span>}</dd>
  </div>
);

export const Time = ({ at }: { at: number }) => <time dateTime={new Date(at).toISOString()} title={new Date(at).toLocaleString()}>{ago(at, now())}</time>;

/** Windows that alert together: the long one says that it matters, the short one that it is still going on. */
const PAIRS = [["1h", "5m"], ["6h", "30m"], ["1d", "2h"], ["3d", "6h"]] as const;
/** Whether budget surely goes as fast as the alerts mean it, given how little was counted; no events in the short window end nothing. */
export function burning(slo: SloStatus): boolean {
  const rates = new Map(slo.burn.map((one) => [one.window, one]));
  return PAIRS.some(([long, short]) => {
    const over = rates.get(long);
    if (!over || over.floor === null || over.floor <= over.factor) return false;
    const still = rates.get(short)?.rate ?? null;
    return still === null || still > over.factor;
  });
}

export function sloState(slo: SloStatus): Word {
  if (slo.budget_remaining === null) return "insufficient";
  return burning(slo) ? "drifted" : slo.budget_remaining <= 0 ? "watch" : "stable";
}

export function budgetText(slo: SloStatus): string {
  const left = slo.budget_remaining;
  if (left === null) return "no events yet";
  if (left >= 0) return `${percent(left)} left`;
  return left < -1 ? `overspent ${short(-left)}×` : `overspent ${percent(-left)}`;
}

export function Budget({ slo }: { slo: SloStatus }) {
  const left = Math.max(0, Math.min(1, slo.budget_remaining ?? 0));
  return <span class={`meter ${sloState(slo)}`} role="img" aria-label={`Budget of ${slo.slo}: ${budgetText(slo)}`}><span style={{ width: `${left * 100}%` }} /></span>;
}

/** Where the true distance lies, against the shift that is ignored and the line that has to be crossed. */
export function Bounds({ verdict: v, scale }: { verdict: FeatureVerdict; scale: number }) {
  const at = (value: number) => `${Math.min(100, (value / scale) * 100)}%`;
  if (v.ks_lower === null) return <span class="bounds" role="img" aria-label="No distance yet" />;
  const high = v.ks_upper ?? v.ks_lower;
  const says = `Distance between ${distance(v.ks_lower)} and ${distance(high)}; ignored up to ${distance(v.delta)}${v.threshold === null ? "" : `; one window alone tells above ${distance(v.threshold)}`}`;
  return (
    <span class={`bounds ${v.state}`} role="img" aria-label={says} title={says}>
      <span class="harmless" style={{ width: at(v.delta) }} />
      <span class="band" style={{ left: at(v.ks_lower), right: `calc(100% - ${at(Math.max(high, v.ks_lower + scale * 0.008))})` }} />
      {v.threshold !== null && <span class="line" style={{ left: at(v.threshold) }} />}
    </span>
  );
}

/** Shares by name, the reference as a mark on the bar. */
export function Shares({ rows, limit = 12 }: { rows: { label: string; reference: number | null; current: number | null }[]; limit?: number }) {
  const top = Math.max(0.01, ...rows.map((one) => Math.max(one.reference ?? 0, one.current ?? 0)));
  const at = (share: number | null) => `${((share ?? 0) / top) * 100}%`;
  return (
    <div class="shares">
      {rows.slice(0, limit).map((one) => (
        <div class="share" key={one.label}>
          <span class="name" title={one.label}>{one.label}</span>
          <span class="track" role="img" aria-label={`${one.label}: ${percent(one.current)} now, ${percent(one.reference)} in the reference`}>
            <span class="bar" style={{ width: at(one.current) }} />
            {one.reference !== null && <span class="mark" style={{ left: at(one.reference) }} />}
          </span>
          <span class="num">{percent(one.current)}</span>
          <span class="num quiet">{percent(one.reference)}</span>
        </div>
      ))}
      {rows.length > limit && <p class="quiet small">and {rows.length - limit} more</p>}
      <p class="quiet small keys"><span class="key"><span class="swatch block" />now</span><span class="key"><span class="swatch tick" />reference</span></p>
    </div>
  );
}

/** The texts of a request that holds nothing else, as they were written; anything else as it was stored. */
export function readable(stored: string): string {
  try {
    const body = JSON.parse(stored) as Record<string, unknown>;
    const only = Object.keys(body).length === 1 ? (body.texts ?? body.text) : undefined;
    const texts = Array.isArray(only) ? only : [only];
    return texts.length && texts.every((text) => typeof text === "string") ? texts.join("\n") : stored;
  } catch {
    return stored;
  }
}

/** A masked text: what the masker put in (`[EMAIL]`, `[CARD:key:token]`) is shown as such. */
export function Masked({ text }: { text: string }) {
  const parts = text.split(/(\[[A-Z][A-Z0-9_]*(?::[^\]\s]{1,120})?\])/);
  return <>{parts.map((part, i) => (i % 2 ? <mark key={i} class="masked" title="masked before it was stored">{part.slice(1, -1).split(":")[0]!.toLowerCase().replaceAll("_", " ")}</mark> : part))}</>;
}

/** The digits of the reference that somebody chose, or of the one that the first traffic made. */
export const named = (baseline: BaselineInfo) => (baseline.completes || baseline.fingerprint).slice(0, 8);

/** How much of a reference the first traffic made; nothing where somebody chose all of it. */
export function provisional({ features, provisional_features: some }: BaselineInfo): string {
  return some === 0 ? "" : some === features ? "provisional" : `${some} of ${plural(features, "feature")} provisional`;
}

/** A sentence with what is to be typed in it set as such. */
export const Told = ({ text }: { text: string }) => <>{text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;

/** Tabs below a model's name. */
export function Tabs({ model, here }: { model: string; here: "model" | "confidence" | "shadows" }) {
  const tabs = [["model", "Drift and traffic"], ["confidence", "Confidence"], ["shadows", "Shadows"]] as const;
  return (
    <nav class="tabs" aria-label={`Views of ${model}`}>
      {tabs.map(([view, name]) => <a key={view} href={to({ view, model })} aria-current={view === here ? "page" : undefined}>{name}</a>)}
      <a href={to({ view: "samples" }, { model })}>Samples</a>
      <a href={to({ view: "events" }, { model })}>Events</a>
    </nav>
  );
}
