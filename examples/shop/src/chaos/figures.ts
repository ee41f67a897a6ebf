import type { Tally } from "../processes/request-tally.ts";
import type { Read } from "./load.ts";

/** A stretch of a run with one kind of trouble. */
export interface Phase {
  readonly kind: PhaseKind;
  readonly reads: readonly Read[];
  readonly tally: Tally;
  readonly restarts: number;
}

export type PhaseKind = "steady" | "kill" | "pause" | "restart" | "all paused" | "all stopped";

/** What a phase, or several together, came to. */
export interface Figures {
  readonly reads: number;
  /** Share of reads that were answered with 200. */
  readonly success: number;
  /** Share of reads that were answered with 200 and without `x-degraded`. */
  readonly whole: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Requests at customer instances that had been sent before. */
  readonly retries: number;
  /** Requests at customer instances for each read. */
  readonly amplification: number;
  /** Processes that were started again. */
  readonly restarts: number;
}

export function figuresOf(phases: readonly Phase[]): Figures {
  const reads = phases.flatMap(phase => phase.reads);
  const sum = (of: (phase: Phase) => number) => phases.reduce((total, phase) => total + of(phase), 0);
  const latencies = Float64Array.from(reads, ({ latencyMs }) => latencyMs).sort();
  const share = (outcomes: readonly Read["outcome"][]) =>
    reads.length === 0 ? 0 : reads.filter(({ outcome }) => outcomes.includes(outcome)).length / reads.length;
  return {
    reads: reads.length,
    success: share(["whole", "degraded"]),
    whole: share(["whole"]),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
    retries: sum(({ tally }) => tally.retries),
    amplification: reads.length === 0 ? 0 : sum(({ tally }) => tally.requests) / reads.length,
    restarts: sum(phase => phase.restarts),
  };
}

/** The value that this share of sorted values does not exceed; 0 of none. */
function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** One condition of a run, met or not. */
export interface Target {
  readonly text: string;
  readonly got: string;
  readonly isMet: boolean;
}

/** What customers that come and go one at a time may cost. */
export function targetsOfTrouble({ reads, whole, p99Ms }: Figures, readsMin: number): readonly Target[] {
  return [
    { text: `at least ${readsMin} reads`, got: String(reads), isMet: reads >= readsMin },
    { text: "99.9 % are 200 without x-degraded", got: percent(whole), isMet: whole >= 0.999 },
    { text: "p99 at most 1000 ms", got: milliseconds(p99Ms), isMet: p99Ms <= 1_000 },
  ];
}

/** @param settledMs from the beginning of the phase, after which late answers count */
export function targetsOfOutage({ kind, reads }: Phase, settledMs: number): readonly Target[] {
  const beginMs = reads.reduce((least, { atMs }) => Math.min(least, atMs), Number.POSITIVE_INFINITY);
  const degraded = reads.filter(({ outcome }) => outcome === "degraded").length;
  const settled = reads.filter(({ atMs }) => atMs - beginMs >= settledMs);
  const p99Ms = quantile(Float64Array.from(settled, ({ latencyMs }) => latencyMs).sort(), 0.99);
  const seconds = Math.round(settledMs / 100) / 10;
  return [
    {
      text: `${kind}: all are 200 with x-degraded`,
      got: `${degraded} of ${reads.length}`,
      isMet: reads.length > 0 && degraded === reads.length,
    },
    {
      text: `${kind}: p99 at most 300 ms after ${seconds} s`,
      got: milliseconds(p99Ms),
      isMet: settled.length > 0 && p99Ms <= 300,
    },
  ];
}

/** Not rounded up to what it is not. */
export function percent(share: number): string {
  return `${(Math.floor(share * 100_000) / 1_000).toFixed(3)} %`;
}

export function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
