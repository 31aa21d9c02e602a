// Numbers and times as people read them. An absent number is a dash, never a zero.

export const DASH = "\u2013";
const known = (x) => typeof x === "number" && Number.isFinite(x);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (x) => (known(x) ? whole.format(x).replaceAll(",", "\u202f") : DASH);

/** About three significant digits, no exponent. */
export function short(x) {
  if (!known(x)) return DASH;
  const size = Math.abs(x);
  if (size >= 1000) return count(x);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return x.toFixed(digits);
}

export const distance = (x) => (known(x) ? x.toFixed(3) : DASH);

/** Latency in milliseconds: `870 ms`, `1.24 s`. */
export function latency(ms) {
  if (!known(ms)) return [DASH, ""];
  if (ms >= 1000) return [(ms / 1000).toFixed(2), "s"];
  return [ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2), "ms"];
}

export const latencyText = (ms) => latency(ms).join("\u202f").trim();

/** A ratio as a percentage, with as many digits as its smallness needs. */
export function percent(x, digits) {
  if (!known(x)) return DASH;
  const p = x * 100;
  const d = digits ?? (p === 0 || Math.abs(p) >= 10 ? 1 : Math.abs(p) >= 0.1 ? 2 : 3);
  return `${p.toFixed(d)}\u202f%`;
}

/** A p- or q-value. */
export function probability(p) {
  if (!known(p)) return DASH;
  if (p < 1e-300) return "<\u202f1e-300";
  if (p < 0.001) return p.toExponential(0).replace("e-", "e\u2212");
  return p.toFixed(3);
}

/** Evidence, given as a power of ten. */
export const power = (exponent) => (!known(exponent) || exponent < 0 ? "<\u202f1" : `10^${exponent.toFixed(exponent < 10 ? 1 : 0)}`);

export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds}\u202fs`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes}\u202fmin`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours}\u202fh` : `${Math.round(hours / 24)}\u202fd`;
}

export const ago = (then, now) => (now - then < 1500 ? "now" : `${span(now - then)} ago`);

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

export const clock = (ms) => clockFormat.format(ms);
export const moment = (ms) => `${dayFormat.format(ms)} ${clockFormat.format(ms)}`;
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : (many ?? `${one}s`)}`;
