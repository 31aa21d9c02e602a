// States as shape, word and colour: the shape alone tells them apart.

import type { JSX } from "preact";
import type { DriftState, ShadowVerdict } from "./api";

export type Word = DriftState | ShadowVerdict;

const SHAPES: Record<Word, () => JSX.Element> = {
  stable: () => <circle cx="8" cy="8" r="5" />,
  resolved: () => <><circle cx="8" cy="8" r="5" class="hollow" /><path d="M8 3a5 5 0 0 1 0 10z" /></>,
  insufficient: () => <circle cx="8" cy="8" r="4.4" class="hollow dotted" />,
  watch: () => <path d="M8 2.2 14.4 13.4H1.6z" />,
  drifted: () => <path d="M8 1.4 14.6 8 8 14.6 1.4 8z" />,
  promote: () => <path class="stroke" d="M3 8.6 6.6 12 13 4.6" />,
  hold: () => <path class="stroke" d="M5.4 4v8M10.6 4v8" />,
  reject: () => <path class="stroke" d="M4 4l8 8M12 4l-8 8" />,
};

const WORDS: Record<Word, string> = {
  stable: "stable",
  resolved: "resolved",
  insufficient: "too little data",
  watch: "watch",
  drifted: "drifted",
  promote: "promote",
  hold: "hold",
  reject: "reject",
};

export const LOUDEST_FIRST: DriftState[] = ["drifted", "watch", "resolved", "stable", "insufficient"];

export const word = (state: Word) => WORDS[state] ?? state;

export const Shape = ({ state }: { state: Word }) => <svg class={`shape ${state}`} viewBox="0 0 16 16" aria-hidden="true">{(SHAPES[state] ?? SHAPES.insufficient)()}</svg>;

export const Badge = ({ state, children }: { state: Word; children?: unknown }) => <span class={`badge ${state}`}><Shape state={state} />{(children as string) ?? word(state)}</span>;
