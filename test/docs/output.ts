import assert from "node:assert/strict";
import type { ShownOutput } from "./steps.ts";

/** Stands in shown output for any text of one line: ids, times, what differs from run to run. */
const anything = "…";

/**
 * Compares what a page shows with what came. `text`: line by line. `json`: as values, each member. `http`: the status line,
 * each field that is shown, and the body. Several outputs of one program are its output in pieces.
 * @throws AssertionError with the place of the block
 */
export function compareOutput(outputs: readonly ShownOutput[], actual: string): void {
  const [first] = outputs;
  if (first === undefined) return;
  if (outputs.every(({ format }) => format === "text")) {
    const text = outputs.map(output => output.text).join("");
    compareLines(first.place, text, actual);
    return;
  }
  assert(outputs.length === 1, `${first.place}: only text may be shown in several pieces`);
  if (first.format === "json") compareJson(first.place, first.text, actual);
  else compareHttp(first.place, first.text, actual);
}

function compareLines(place: string, expected: string, actual: string): void {
  const wanted = expected.trimEnd().split("\n");
  const got = actual.replaceAll("\r", "").trimEnd().split("\n");
  const isSame = wanted.length === got.length && wanted.every((line, at) => matches(line, got[at] ?? ""));
  if (!isSame) assert.equal(got.join("\n"), wanted.join("\n"), `${place}: the output differs from the one shown`);
}

function compareJson(place: string, expected: string, actual: string): void {
  let got: unknown;
  try {
    got = JSON.parse(actual);
  } catch {
    assert.fail(`${place}: the output is no JSON: ${actual}`);
  }
  const wanted: unknown = JSON.parse(expected);
  if (!sameJson(wanted, got)) assert.deepEqual(got, wanted, `${place}: the output differs from the one shown`);
}

function compareHttp(place: string, expected: string, actual: string): void {
  const wanted = parseAnswer(expected);
  const got = parseAnswer(actual);
  assert(matches(wanted.status, got.status), `${place}: status line is "${got.status}", shown is "${wanted.status}"`);
  for (const [name, value] of wanted.fields) {
    const actualValue = got.fields.get(name);
    assert(
      actualValue !== undefined && matches(value, actualValue),
      `${place}: ${name} is ${JSON.stringify(actualValue)}, shown is "${value}"`,
    );
  }
  const isJson = /[/+]json\b/.test(got.fields.get("content-type") ?? "");
  if (wanted.body.trim() === "") return;
  if (isJson) compareJson(place, wanted.body, got.body);
  else compareLines(place, wanted.body, got.body);
}

function parseAnswer(text: string) {
  const [head = "", ...body] = text.replaceAll("\r", "").split("\n\n");
  const [status = "", ...lines] = head.trim().split("\n");
  const fields = new Map(
    lines.map(line => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  return { status: status.trim(), fields, body: body.join("\n\n") };
}

function sameJson(wanted: unknown, got: unknown): boolean {
  if (typeof wanted === "string") return typeof got === "string" && matches(wanted, got);
  if (typeof wanted !== "object" || wanted === null) return wanted === got;
  if (typeof got !== "object" || got === null || Array.isArray(wanted) !== Array.isArray(got)) return false;
  const wantedEntries = Object.entries(wanted);
  return (
    wantedEntries.length === Object.keys(got).length &&
    wantedEntries.every(([name, value]) => name in got && sameJson(value, (got as Record<string, unknown>)[name]))
  );
}

function matches(wanted: string, got: string): boolean {
  if (!wanted.includes(anything)) return wanted.trimEnd() === got.trimEnd();
  const pattern = wanted.trimEnd().split(anything).map(escaped).join(".*");
  return new RegExp(`^${pattern}$`).test(got.trimEnd());
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
