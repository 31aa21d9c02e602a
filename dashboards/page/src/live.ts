// What is fresh: the stream of glances, and answers that are asked for again.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask, Failure, type Glance } from "./api";

const AGAIN_MS = 5_000;
/** A stream that was silent for this long is as good as broken: the analyzer says something every cycle. */
const SILENCE_MS = 45_000;

export interface Live { glance: Glance | null; heard: number; problem: Failure | null }

let live: Live = { glance: null, heard: 0, problem: null };
const readers = new Set<(now: Live) => void>();
const tell = (next: Partial<Live>) => {
  live = { ...live, ...next };
  readers.forEach((read) => read(live));
};
const hear = (glance: Glance) => tell({ glance, heard: performance.now(), problem: null });

let stream: EventSource | null = null;
let again = 0;

/** Asks once for what the stream would say: tells why there is none, or stands in for it. */
async function instead(): Promise<void> {
  try {
    hear(await ask<Glance>("/api/v1/glance"));
  } catch (error) {
    tell({ problem: error instanceof Failure ? error : new Failure("it cannot be reached", false, false) });
  }
}

function open(): void {
  if (stream || document.hidden) return;
  stream = new EventSource("/api/v1/stream");
  stream.addEventListener("glance", (event) => hear(JSON.parse((event as MessageEvent<string>).data)));
  stream.addEventListener("error", () => {
    close();
    clearTimeout(again);
    again = window.setTimeout(open, AGAIN_MS);
    void instead();
  });
}

function close(): void {
  stream?.close();
  stream = null;
}

export function start(): void {
  open();
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  setInterval(() => {
    if (document.hidden || performance.now() - live.heard < SILENCE_MS) return;
    close();
    open();
    void instead();
  }, SILENCE_MS / 3);
}

export function useLive(): Live {
  const [now, set] = useState(live);
  useEffect(() => {
    readers.add(set);
    set(live);
    return () => void readers.delete(set);
  }, []);
  return now;
}

/** Now by the analyzer's clock: the browser's may be wrong. */
export const now = () => (live.glance ? live.glance.sent_ms + (performance.now() - live.heard) : Date.now());

/** Milliseconds since the last cycle that succeeded: an analyzer whose database is away answers, and with what it knew. */
export const age = ({ glance, heard }: Live) => (glance ? glance.sent_ms - glance.at_ms + performance.now() - heard : 0);

/** Draws again every second: what is old becomes older by itself. */
export function useTick(): void {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
}

export interface Asked<T> { data: T | null; failure: Failure | null }

/** Asks for `path()` when `key` changes and then every `everyMs` (0: never again). What was heard stays until the next answer, so that
 * nothing that is being typed into or looked at goes away; a view of something else is another component. */
export function useAsk<T>(key: string, path: () => string, everyMs: number): Asked<T> {
  const [state, set] = useState<Asked<T>>({ data: null, failure: null });
  const latest = useRef(path);
  latest.current = path;
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const turn = async () => {
      if (!document.hidden || everyMs === 0) {
        try {
          const data = await ask<T>(latest.current(), stop.signal);
          if (!stop.signal.aborted) set({ data, failure: null });
        } catch (error) {
          if (stop.signal.aborted) return;
          const failure = error instanceof Failure ? error : new Failure(String(error), false, false);
          set((before) => ({ data: failure.missing ? null : before.data, failure }));
        }
      }
      if (everyMs > 0 && !stop.signal.aborted) timer = window.setTimeout(turn, everyMs);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs]);
  return state;
}
