import { type Figures, figuresOf, milliseconds, type Phase, percent, type Target } from "./figures.ts";
import type { ChaosResult } from "./run.ts";

interface Row {
  readonly name: string;
  readonly figures: Figures;
}

const columns: readonly (readonly [title: string, cell: (row: Row) => string])[] = [
  ["phase", ({ name }) => name],
  ["reads", ({ figures }) => String(figures.reads)],
  ["200", ({ figures }) => percent(figures.success)],
  ["not degraded", ({ figures }) => percent(figures.whole)],
  ["p50", ({ figures }) => milliseconds(figures.p50Ms)],
  ["p99", ({ figures }) => milliseconds(figures.p99Ms)],
  ["max", ({ figures }) => milliseconds(figures.maxMs)],
  ["retries", ({ figures }) => String(figures.retries)],
  ["amplification", ({ figures }) => figures.amplification.toFixed(3)],
  ["restarts", ({ figures }) => String(figures.restarts)],
];

/** Phases of one kind are one row. */
function rowsOf(phases: readonly Phase[]): readonly Row[] {
  const kinds = [...new Set(phases.map(({ kind }) => kind))];
  return kinds.map(kind => ({ name: kind, figures: figuresOf(phases.filter(phase => phase.kind === kind)) }));
}

export function asText({ trouble, outage, targets, seed }: ChaosResult): string {
  const rows = [...rowsOf(trouble), { name: "all of these", figures: figuresOf(trouble) }, ...rowsOf(outage)];
  const table = [columns.map(([title]) => title), ...rows.map(row => columns.map(([, cell]) => cell(row)))];
  const widths = columns.map((_, column) => Math.max(...table.map(cells => cells[column]?.length ?? 0)));
  const lines = table.map(cells =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
  const verdicts = targets.map(({ text, got, isMet }) => `${isMet ? "met   " : "MISSED"}  ${text}: ${got}`);
  return `${[...lines, "", ...verdicts, `seed ${seed}`].join("\n")}\n`;
}

export function asJson({ trouble, outage, targets, seed }: ChaosResult): string {
  const named = (rows: readonly Row[]) => Object.fromEntries(rows.map(({ name, figures }) => [name, figures]));
  const report = {
    seed,
    phases: named([...rowsOf(trouble), ...rowsOf(outage)]),
    all: figuresOf(trouble),
    targets,
    isMet: areMet(targets),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

export function areMet(targets: readonly Target[]): boolean {
  return targets.every(({ isMet }) => isMet);
}
