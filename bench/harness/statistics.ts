import type { Metric } from "./scenarios.ts";

export type Sample = { readonly [M in Metric]?: number };

/** One peer in one scenario: a sample per round, or the reason why there is none. */
export interface Row {
  readonly scenario: string;
  readonly peer: string;
  readonly samples: Sample[];
  /** When it was measured. */
  readonly startedAt?: string;
  failure?: string;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spreadOf(row: Row | undefined, metric: Metric): Spread | undefined {
  const values = (row?.samples ?? []).map(sample => sample[metric]).filter(value => value !== undefined);
  if (values.length === 0) return undefined;
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  const upper = values[middle] ?? Number.NaN;
  const median = values.length % 2 === 1 ? upper : (upper + (values[middle - 1] ?? Number.NaN)) / 2;
  return { median, min: values[0] ?? Number.NaN, max: values.at(-1) ?? Number.NaN };
}

export function findRow(rows: readonly Row[], scenario: string, peer: string): Row | undefined {
  return rows.find(row => row.scenario === scenario && row.peer === peer);
}
