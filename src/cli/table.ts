import { printable } from "./printable.ts";

type Cell = string | number | undefined;

/** A table for people: columns as wide as they must be, numbers to the right, a dash where nothing is known. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const text = rows.map(row => row.map(cell => (cell === undefined ? "-" : printable(String(cell)))));
  const widths = head.map((name, column) => Math.max(name.length, ...text.map(row => row[column]?.length ?? 0)));
  const isNumeric = head.map((_, column) => rows.some(row => typeof row[column] === "number"));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell[isNumeric[column] === true ? "padStart" : "padEnd"](widths[column] as number))
      .join("  ")
      .trimEnd();
  return `${[head, ...text].map(line).join("\n")}\n`;
}
