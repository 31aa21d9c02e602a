// Numbers and times as people read them. An absent number is a dash, never a zero.

export const DASH = "–";
type Maybe = number | null | undefined;
const known = (x: Maybe): x is number => typeof x === "number" && Number.isFinite(x);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (x: Maybe) => (known(x) ? whole.format(x).replaceAll(",", "\u202f") : DASH);

/** About three significant digits, no exponent. */
export function short(x: Maybe): string {
  if (!known(x)) return DASH;
  const size = Math.abs(x);
  if (size >= 1e9) return `${(x / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(x / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(x / 1e3).toFixed(0)}k`;
  if (size >= 1000) return count(x);
  if (size !== 0 && size < 0.1) return String(Number(x.toPrecision(2)));
  return String(Number(x.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)));
}

export const distance = (x: Maybe) => (known(x) ? x.toFixed(3) : DASH);

/** Latency as number and unit. */
export function latency(ms: Maybe): [string, string] {
  if (!known(ms)) return [DASH, ""];
  if (ms >= 1000) return [(ms / 1000).toFixed(2), "s"];
  return [ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2), "ms"];
}
export const latencyText = (ms: Maybe) => latency(ms).join("\u202f").trim();

/** A ratio as a percentage, with as many digits as its smallness needs. */
export function percent(x: Maybe, digits?: number): string {
  if (!known(x)) return DASH;
  const p = x * 100;
  const d = digits ?? (p === 0 || p === 100 ? 0 : Math.abs(p) >= 10 ? 1 : Math.abs(p) >= 0.1 ? 2 : 3);
  return `${p.toFixed(d)}\u202f%`;
}

/** A p- or q-value. */
export function probability(p: Maybe): string {
  if (!known(p)) return DASH;
  if (p < 1e-300) return "<\u202f1e-300";
  return p < 0.001 ? p.toExponential(0).replace("e-", "e−") : p.toFixed(3);
}

/** Evidence, given as a power of ten. */
export const power = (exponent: Maybe) => (!known(exponent) || exponent < 0 ? "<\u202f1" : `10^${exponent.toFixed(exponent < 10 ? 1 : 0)}`);

export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds}\u202fs`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes}\u202fmin`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours}\u202fh` : `${Math.round(hours / 24)}\u202fd`;
}
export const ago = (then: number, now: number) => (now - then < 1500 ? "now" : `${span(now - then)} ago`);

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
export const clock = (ms: number) => clockFormat.format(ms);
export const minute = (ms: number) => minuteFormat.format(ms);
export const day = (ms: number) => dayFormat.format(ms);
export const moment = (ms: number) => `${day(ms)}, ${clock(ms)}`;
export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
