import assert from "node:assert/strict";
import { test } from "node:test";
import { exampleOf } from "./example.ts";
import type { Schema } from "./schema.ts";

/** Thirty types, each of which refers to all. */
function web(required: readonly string[]): Record<string, Schema> {
  const names = Array.from({ length: 30 }, (_, index) => `T${index}`);
  const properties = Object.fromEntries(names.map(name => [name, { $ref: `#/components/schemas/${name}` }]));
  return Object.fromEntries(
    names.map(name => [
      name,
      { type: "object", properties: { ...properties, id: { type: "string" } }, required: [...required] } as Schema,
    ]),
  );
}

// 25 messages that refer to each other made a document of 73 MiB; with 500 the first GET /openapi.json never ended.
test("an example of types that all refer to each other stays small, and has what it must have", () => {
  const example = exampleOf({ $ref: "#/components/schemas/T0" }, web(["id"]));
  const text = JSON.stringify(example);
  assert.ok(text.length < 10_000, `${text.length} characters`);
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || Object.keys(value).length === 0) return;
    assert.ok("id" in value, JSON.stringify(value));
    for (const inner of Object.values(value)) visit(inner);
  };
  visit(example);
});

test("what is beyond the room of an example is left out only where it may be", () => {
  const deep: Record<string, Schema> = {};
  for (let level = 0; level < 10; level++) {
    deep[`D${level}`] = {
      type: "object",
      properties: { must: { $ref: `#/components/schemas/D${level + 1}` }, may: { type: "string" } },
      required: ["must"],
    } as Schema;
  }
  deep["D10"] = { type: "object", properties: { end: { type: "boolean" } }, required: ["end"] } as Schema;
  let value = exampleOf({ $ref: "#/components/schemas/D0" }, deep) as { must?: unknown; may?: unknown };
  for (let level = 0; level < 10; level++) {
    assert.equal("may" in value, level < 3, `level ${level}`);
    value = value.must as typeof value;
  }
  assert.deepEqual(value, { end: true });
});
