import type { Schema } from "./schema.ts";

/** Messages in messages are shown to this depth; deeper ones have only what they must have. */
const depthMax = 3;
/**
 * About so many values are in one example. Where many messages refer to each other, all that can be shown doubles with every
 * message: 25 of them made a document of 73 MiB.
 */
const valuesMax = 50;

/** A value that a schema accepts, for people to start from. */
export function exampleOf(schema: Schema, components: Readonly<Record<string, Schema>>): unknown {
  return example(schema, { components, values: 0 }, "", []);
}

interface Showing {
  readonly components: Readonly<Record<string, Schema>>;
  /** How many values there are so far. */
  values: number;
}

/** Whether there is room for what may be left out. @param open the messages around it */
function hasRoom(showing: Showing, open: readonly string[]): boolean {
  return open.length <= depthMax && showing.values < valuesMax;
}

function example(schema: Schema, showing: Showing, name: string, open: readonly string[]): unknown {
  showing.values++;
  if (schema.$ref !== undefined) {
    const target = schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
    const found = showing.components[target];
    // A type that contains itself ends here.
    return found === undefined || open.includes(target) ? {} : example(found, showing, name, [...open, target]);
  }
  if (schema.examples?.[0] !== undefined) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return exampleOfEnum(schema.enum);
  if (schema.anyOf?.[0] !== undefined && schema.type === undefined)
    return example(schema.anyOf[0], showing, name, open);
  const type = typeof schema.type === "string" ? schema.type : schema.type?.[0];
  switch (type) {
    case "object":
      return exampleObject(schema, showing, open);
    case "array": {
      const { items = {}, minItems = 0 } = schema;
      const isRecursive = items.$ref !== undefined && open.includes(items.$ref.slice(items.$ref.lastIndexOf("/") + 1));
      return minItems === 0 && (isRecursive || !hasRoom(showing, open))
        ? []
        : Array.from({ length: Math.max(1, minItems) }, () => example(items, showing, name, open));
    }
    case "integer":
      return Math.trunc(number(schema, 1));
    case "number":
      return number(schema, 9.99);
    case "boolean":
      return true;
    case "string":
      return text(schema, name);
    default:
      return null;
  }
}

function exampleOfEnum(values: readonly unknown[]): unknown {
  return values.find(value => typeof value === "string" && !/unspecified/i.test(value)) ?? values[0];
}

function exampleObject(schema: Schema, showing: Showing, open: readonly string[]): unknown {
  const left = new Set<string>();
  for (const { not } of schema.allOf ?? []) {
    // Of a oneof the first member is shown.
    const [first, second] = not?.required ?? [];
    if (first !== undefined && second !== undefined && !left.has(first)) left.add(second);
  }
  const entries = Object.entries(schema.properties ?? {}).filter(([name]) => !left.has(name));
  const shown: [string, unknown][] = [];
  for (const [name, property] of entries) {
    if (!hasRoom(showing, open) && schema.required?.includes(name) !== true) continue;
    shown.push([name, example(property, showing, name, open)]);
  }
  return Object.fromEntries(shown);
}

function number(schema: Schema, wanted: number): number {
  const least = schema.minimum ?? (schema.exclusiveMinimum === undefined ? undefined : schema.exclusiveMinimum + 1);
  const most = schema.maximum ?? (schema.exclusiveMaximum === undefined ? undefined : schema.exclusiveMaximum - 1);
  return Math.min(Math.max(wanted, least ?? wanted), most ?? Number.POSITIVE_INFINITY);
}

const formats: Readonly<Record<string, string>> = {
  "date-time": "2024-01-02T03:04:05Z",
  email: "someone@example.com",
  hostname: "example.com",
  int64: "1",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uint64: "1",
  uri: "https://example.com/",
  "uri-reference": "/path",
  uuid: "123e4567-e89b-42d3-a456-426614174000",
};

function text(schema: Schema, name: string): string {
  const known = formats[schema.format ?? ""];
  if (known !== undefined) return known;
  if (schema.contentEncoding === "base64") return "AQID";
  if (schema.pattern?.endsWith("s$") === true) return "1.5s";
  const word = (schema.pattern === undefined ? name : "") || "text";
  return word.padEnd(schema.minLength ?? 0, "x").slice(0, schema.maxLength ?? word.length + (schema.minLength ?? 0));
}
