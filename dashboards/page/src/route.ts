// Where the reader is: all of it stands in the address after `#`, so that every view can be linked to.
// `#/models/m/features/f?range=6h`; alerts link to `#/m` and `#/m/f`, which mean the same.

import { useEffect, useState } from "preact/hooks";

export type Place =
  | { view: "overview" }
  | { view: "slos" }
  | { view: "slo"; slo: string }
  | { view: "samples" }
  | { view: "events" }
  | { view: "pipeline" }
  | { view: "model"; model: string }
  | { view: "confidence"; model: string }
  | { view: "shadows"; model: string; shadow?: string }
  | { view: "feature"; model: string; feature: string };

export interface Route { place: Place; asked: URLSearchParams }

const decode = (part: string) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
};

function placeOf(parts: string[]): Place {
  const [first, second, third, ...rest] = parts;
  if (first === undefined) return { view: "overview" };
  if (first === "slos") return second === undefined ? { view: "slos" } : { view: "slo", slo: second };
  if ((first === "samples" || first === "events" || first === "pipeline") && second === undefined) return { view: first };
  if (first === "models" && second !== undefined) {
    if (third === "confidence") return { view: "confidence", model: second };
    if (third === "shadows") return { view: "shadows", model: second, ...(rest[0] === undefined ? {} : { shadow: rest[0] }) };
    if (third === "features" && rest.length) return { view: "feature", model: second, feature: rest.join("/") };
    return { view: "model", model: second };
  }
  return second === undefined ? { view: "model", model: first } : { view: "feature", model: first, feature: parts.slice(1).join("/") };
}

export function parse(hash: string): Route {
  const [path = "", text = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { place: placeOf(path.split("/").filter(Boolean).map(decode)), asked: new URLSearchParams(text) };
}

const path = (...parts: string[]) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** The address of a place; the time range goes along. */
export function to(place: Place, asked: Record<string, string> = {}): string {
  const here = parse(location.hash).asked;
  const carried = new URLSearchParams();
  for (const name of ["range", "from", "to"]) if (here.has(name)) carried.set(name, here.get(name)!);
  for (const [name, value] of Object.entries(asked)) if (value) carried.set(name, value);
  const query = carried.toString();
  return `${pathOf(place)}${query ? `?${query}` : ""}`;
}

function pathOf(place: Place): string {
  switch (place.view) {
    case "overview": return "#/";
    case "slo": return path("slos", place.slo);
    case "model": return path("models", place.model);
    case "confidence": return path("models", place.model, "confidence");
    case "shadows": return place.shadow === undefined ? path("models", place.model, "shadows") : path("models", place.model, "shadows", place.shadow);
    case "feature": return path("models", place.model, "features", place.feature);
    default: return path(place.view);
  }
}

/** Changes what is asked for here; empty values are removed. Filters that are typed replace the entry in the history. */
export function change(asked: Record<string, string>, replace = false): void {
  const here = parse(location.hash);
  for (const [name, value] of Object.entries(asked)) value ? here.asked.set(name, value) : here.asked.delete(name);
  const query = here.asked.toString();
  const hash = `${pathOf(here.place)}${query ? `?${query}` : ""}`;
  if (replace) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = hash;
}

export function useRoute(): Route {
  const [route, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const moved = () => set(parse(location.hash));
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return route;
}

export const RANGES: [string, number][] = [["15m", 15], ["1h", 60], ["6h", 360], ["1d", 1440], ["7d", 10_080], ["30d", 43_200]];
const MINUTE_MS = 60_000;

export interface Range { from_ms: number; to_ms: number; live: boolean; name: string }

/** The range asked for: fixed, or up to now. */
export function rangeOf(asked: URLSearchParams, now: number): Range {
  const [from, until] = [Number(asked.get("from")), Number(asked.get("to"))];
  if (Number.isFinite(from) && Number.isFinite(until) && from > 0 && until > from) return { from_ms: from, to_ms: until, live: false, name: "" };
  const [name, minutes] = RANGES.find(([one]) => one === asked.get("range")) ?? RANGES[1]!;
  return { from_ms: now - minutes * MINUTE_MS, to_ms: now, live: true, name };
}

/** Narrows the range to what was marked in a chart. */
export const zoom = (from_ms: number, to_ms: number) => change({ from: String(Math.round(from_ms)), to: String(Math.round(to_ms)), range: "" });
