// The analyzer's answers, as `contract::api` and `contract::api::page` define them, and the way to ask for them.

export type DriftState = "stable" | "resolved" | "insufficient" | "watch" | "drifted";
export type ShadowVerdict = "promote" | "hold" | "reject";
type N = number | null;

export interface Traffic { requests_per_second: number; bad_ratio: N; p50_ms: N; p95_ms: N; p99_ms: N }
export interface TrafficPoint extends Traffic { at_ms: number }
export interface Event { at_ms: number; kind: string; model: string; version: string; text: string }
export interface Interval { lower: number; upper: number }
export interface BaselineInfo { model: string; version: string; fingerprint: string; frozen_at_ms: number; features: number; observations: number; provisional: boolean; provisional_features: number; completes: string }
export interface Burn { window: string; rate: N; floor: N; factor: number }
export interface SloStatus { slo: string; description: string; model: string; objective: number; events: number; bad: number; budget_remaining: N; burn: Burn[] }
export interface Ledger { observed: number; delivered: number; dropped: number; in_flight: number }
export interface Source { source: string; heartbeat_ms: number; expected: boolean; ledger: Ledger }
export interface Pipeline { observations: number; payloads: number; labels: number; unnamed: number; sources: Source[] }
export interface ShadowGlance { shadow: string; pairs: number; agreement: N; verdict: ShadowVerdict }
export interface ModelGlance {
  model: string; version: string; state: DriftState; states: Partial<Record<DriftState, number>>; loudest: string[];
  traffic: Traffic; requests: number[]; confidence_mean: N; shadows: ShadowGlance[]; baseline: BaselineInfo | null; judged_ms: N; waiting: string | null;
}
export interface Glance { at_ms: number; sent_ms: number; watermark_ms: N; models: ModelGlance[]; slos: SloStatus[]; events: Event[]; pipeline: Pipeline }

export interface FeatureVerdict {
  model: string; version: string; feature: string; state: DriftState; window_start_ms: number; window_end_ms: number;
  n: number; needed: number; m: number; ks_lower: N; ks_upper: N; p_value: N; q_value: N; psi: N; evidence: N; evidence_needed: N;
  discovery: boolean; autocorrelation: N; worth: N; delta: number; threshold: N; visible: number; baseline: string; unusual: { what: string; before: number; now: number }[]; causes: Cause[]; sentence: string;
}
export interface Cause { segment: string; value: string; within: number; mix: number; share_before: number; share_now: number; before: N; now: N }
export interface Concept { kind: "insufficient" | "stable" | "input" | "mix" | "concept" | "both" | "errors"; version: string; reference: number; error_before: N; labelled: number; error_now: N; parts: SegmentVerdict[]; sentence: string }
export interface SegmentVerdict {
  feature: string; segment: string; value: string; state: DriftState; window_start_ms: number; window_end_ms: number; n: number; needed: number; m: number;
  ks_lower: N; ks_upper: N; p_value: N; q_value: N; evidence: N; discovery: boolean; visible: number; baseline: string; sentence: string;
}
export interface Distribution { edges: number[]; names: string[]; reference: number[]; current: number[] }
export interface ClassShare { label: string; reference: N; current: N }
export interface Flip { primary: string; shadow: string; pairs: number }
export interface ShadowStatus {
  model: string; primary: string; shadow: string; pairs: number; agreed: number; failed: number; agreement: N; wilson: Interval | null;
  sequence: Interval | null; latency_ratio: N; flips: Flip[]; verdict: ShadowVerdict; sentence: string;
}
export interface ModelPage {
  model: string; version: string; state: DriftState; traffic: Traffic; features: FeatureVerdict[]; confidence: Distribution | null;
  confidence_mean: N; classes: ClassShare[]; concept: Concept | null; embeddings: { embedding: string; n: number; m: number; distance: number; sentence: string }[]; shadows: ShadowStatus[]; baseline: BaselineInfo | null; guarantee: string; waiting: string | null;
  matching: number; states: Partial<Record<DriftState, number>>;
}
export interface FeatureDetail { verdict: FeatureVerdict; distribution: Distribution; history: FeatureVerdict[]; segments: SegmentVerdict[]; parts: { judged: number; waiting: string[] } | null }
export interface TrafficRange { step_ms: number; points: TrafficPoint[]; events: Event[] }
export interface HeatCell { step: number; state: DriftState; ks_lower: N }
export interface Heat { from_ms: number; step_ms: number; steps: number; rows: { feature: string; cells: HeatCell[] }[] }
export interface ConfidencePoint { at_ms: number; answers: number; mean: number; p05: number; p50: number; low: number }
export interface ReliabilityBin { n: number; confidence: number; accuracy: number }
export interface ConfidenceRange { step_ms: number; points: ConfidencePoint[]; reliability: ReliabilityBin[]; labelled: number; calibration_error: N }
export interface Figure extends Interval { value: number }
export interface ClassQuality { label: string; support: number; answers: number; precision: Figure | null; recall: Figure | null; f1: Figure | null }
export interface Classification {
  accuracy: Figure; macro_f1: N; classes: ClassQuality[]; brier: Figure | null; log_loss: Figure | null; calibration_error: N;
  auroc: Figure | null; auroc_of: string; reliability: { n: number; confidence: number; accuracy: Figure }[];
}
export interface Regression { feature: string; bias: Figure; mae: Figure; rmse: Figure; quantiles: number[]; sizes: number[] }
export interface Estimate { accuracy: Figure; calibrated_by: number; within: boolean; macro_f1: Figure | null; auroc: Figure | null; back_test: { expected: number; found: Figure; holds: boolean } | null }
export interface Quality { answers: number; labelled: number; coverage: N; classes: Classification | null; numbers: Regression | null; estimate: Estimate | null }
export interface SloPage { status: SloStatus; period_ms: number; points: { at_ms: number; remaining: number }[]; exhausted_ms: N; projected_from: string | null }
export interface AgreementPoint { at_ms: number; pairs: number; agreement: number; lower: number; upper: number }
export interface Disagreement { id: string; at_ms: number; primary: string; shadow: string; primary_confidence: number; shadow_confidence: number; input: string }
/** What a verdict rests on: every guardrail as it is and as it has to be. `needed` is null where more pairs alone will not prove it. */
export interface ClassAgreement { label: string; pairs: number; lower: N; upper: N; needed: N }
export interface VerdictAnswer {
  verdict: ShadowVerdict; sentence: string; judged_ms: N; agreement: { observed: N; lower: N; upper: N; required: number; alpha: number };
  pairs: { seen: number; needed: N; minimum: number }; failures: { offered: number; errors: number; shed: number; ratio: N; allowed: number };
  watched: { seconds: number; minimum: number }; run_time_ratio: N; batch_variant: boolean | null; primary_batch_variant: boolean | null;
  classes: ClassAgreement[]; guardrails: Guardrail[]; tests: { test: string; statistic: number; freedom: N; p_value: number; sentence: string }[];
}
export interface Guardrail { name: string; state: "proved" | "open" | "broken" | "unasked"; n: number; observed: N; lower: N; upper: N; limit: number; needed: N; sentence: string }
export interface ShadowPage { status: ShadowStatus; agreement_min: number; points: AgreementPoint[]; disagreements: Disagreement[] }
export interface Sample {
  id: string; at_ms: number; model: string; version: string; outcome: string; reason: string; label: string; confidence: N; total_ms: number;
  input: string; output: string; inclusion_probability: number;
}

const GIVE_UP_MS = 30_000;

/** Why there is no answer, in a sentence; whether there is nothing of that name, and whether the analyzer itself said so. */
export class Failure extends Error {
  constructor(sentence: string, readonly missing: boolean, readonly told: boolean) {
    super(sentence);
  }
}

export const api = (...parts: string[]) => `/api/v1/${parts.map(encodeURIComponent).join("/")}`;

export function query(path: string, asked: Record<string, string | number | undefined>): string {
  const text = Object.entries(asked).filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `${name}=${encodeURIComponent(value!)}`).join("&");
  return text ? `${path}?${text}` : path;
}

export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const patience = AbortSignal.timeout(GIVE_UP_MS);
  let answer: Response;
  try {
    answer = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store", signal: signal ? AbortSignal.any([signal, patience]) : patience });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(patience.aborted ? "it does not answer in time" : "it cannot be reached", false, false);
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().then((body: { error?: string }) => body.error, () => undefined);
  // whether to try again is not the reader's trouble: it is asked again by itself
  throw new Failure(told?.replace(/; try again.*$/, "") ?? `it answered ${answer.status}`, answer.status === 404, told !== undefined);
}
