import { create, getExtension, type Message, setExtension } from "@bufbuild/protobuf";
import { CodecError, describe, subscript, within } from "../codec-error.ts";
import { emptyMessage, type FieldPlan, type Local, type MessagePlan, setOwn, wrappedField } from "../plan.ts";
import { structToPlain } from "../struct-value.ts";
import { enumNames } from "./dialect.ts";
import { extensionPlan } from "./encode-closures.ts";
import { enter, ignore, isObject } from "./json-input.ts";
import type { DecodeJson, JsonNodes, JsonState } from "./json-node.ts";
import { mapKeyOf, scalarValue } from "./scalar-value.ts";

/**
 * The value of a field from parsed JSON; `undefined` leaves the field as it is. A field comes at most once and the
 * message is new, so that null, which resets a field, has nothing to reset.
 */
export type ValueReader = (json: unknown, state: JsonState) => unknown;

export function decodeWithClosures(plan: MessagePlan, nodes: JsonNodes): DecodeJson {
  let readers: Map<FieldPlan, ValueReader> | undefined;
  const byKey = fieldsByKey(plan);
  return (json, state) => {
    readers ??= new Map(plan.fields.map(field => [field, fieldValueReader(field, nodes)]));
    const object = open(plan, json, state);
    const message = emptyMessage(plan);
    const seen = new Set<unknown>();
    for (const key of Object.keys(object)) {
      const field = byKey.get(key);
      if (field === undefined) {
        readUnknownKey(key, object[key], message, plan, state, nodes);
        continue;
      }
      if (seen.has(field)) throw twice(nodes.nameOf(field));
      seen.add(field);
      if (field.oneof !== undefined && !(field.kind === "scalar" && object[key] === null)) {
        if (seen.has(field.oneof)) throw conflict(nodes.nameOf(field), field.oneof.name);
        seen.add(field.oneof);
      }
      try {
        const value = readers.get(field)?.(object[key], state);
        if (value === undefined) continue;
        if (field.oneof === undefined) setOwn(message, field.localName, value);
        else setOwn(message, field.oneof.localName, { case: field.localName, value });
      } catch (failure) {
        throw within(nodes.nameOf(field), failure);
      }
    }
    state.depth--;
    return message;
  };
}

/** Both names of every field; a JSON name takes precedence over another field's name in the `.proto`. */
export function fieldsByKey(plan: MessagePlan): Map<string, FieldPlan> {
  const byKey = new Map<string, FieldPlan>();
  for (const desc of plan.desc.fields) {
    const field = plan.fields.find(candidate => candidate.desc === desc);
    if (field !== undefined) byKey.set(field.protoName, field).set(field.jsonName, field);
  }
  return byKey;
}

/** Checks what every message begins with: depth, and that the value is an object. */
export function open(plan: MessagePlan, json: unknown, state: JsonState): Local {
  enter(state);
  if (!isObject(json)) {
    throw new CodecError("message.type", `expected an object for ${plan.typeName}, got ${describe(json)}`);
  }
  state.members += Object.keys(json).length;
  return json;
}

export function twice(name: string): CodecError {
  return new CodecError("json.duplicate_field", "a field is set by both its names", name);
}

export function conflict(name: string, oneof: string): CodecError {
  return new CodecError("json.oneof_conflict", `the oneof ${oneof} is already set by another field`, name);
}

/** A member that is no field: an extension in brackets, or unknown. */
export function readUnknownKey(
  key: string,
  json: unknown,
  message: Local,
  plan: MessagePlan,
  state: JsonState,
  nodes: JsonNodes,
): void {
  const isBracketed = key.startsWith("[") && key.endsWith("]");
  const extension = isBracketed ? nodes.options.registry?.getExtension(key.slice(1, -1)) : undefined;
  if (extension === undefined && nodes.options.unknownFields === "reject") {
    throw new CodecError("json.unknown_field", `${plan.typeName} has no field of this name`, key);
  }
  if (extension?.extendee.typeName !== plan.typeName) {
    ignore(json, state);
    return;
  }
  const value = fieldValueReader(extensionPlan(extension), nodes)(json, state);
  const set = value ?? getExtension(create(extension.extendee), extension);
  setExtension(message as unknown as Message, extension, set as never);
}

/** The reader of a field's value, of any kind. */
export function fieldValueReader(field: FieldPlan, nodes: JsonNodes): ValueReader {
  const read = itemReader(field, nodes);
  switch (field.kind) {
    case "list":
      return listReader(field, read);
    case "map":
      return mapReader(field, read);
    default: {
      const readsNull = acceptsNull(field);
      return (json, state) => (json === null && !readsNull ? undefined : read(json, state));
    }
  }
}

/** Null is a value of its own for these; for all others it means "not set". */
function acceptsNull(field: FieldPlan): boolean {
  return (
    field.desc.enum?.typeName === "google.protobuf.NullValue" || field.message?.typeName === "google.protobuf.Value"
  );
}

function listReader(field: FieldPlan, read: ValueReader): ValueReader {
  const readsNull = acceptsNull(field);
  return (json, state) => {
    if (json === null) return undefined;
    if (!Array.isArray(json)) throw new CodecError("list.type", `expected a list, got ${describe(json)}`);
    const items: unknown[] = [];
    for (let index = 0; index < json.length; index++) {
      try {
        if (json[index] === null && !readsNull) throw new CodecError("list.null", "a list item must not be null");
        const value = read(json[index], state);
        if (value !== undefined) items.push(value);
      } catch (failure) {
        throw within(subscript(index), failure);
      }
    }
    return items;
  };
}

function mapReader(field: FieldPlan, read: ValueReader): ValueReader {
  const desc = field.desc;
  if (desc.fieldKind !== "map") throw new TypeError(`${field.protoName} is not a map`);
  const keyOf = mapKeyOf(desc.mapKey);
  const readsNull = acceptsNull(field);
  return (json, state) => {
    if (json === null) return undefined;
    if (!isObject(json)) throw new CodecError("map.type", `expected an object, got ${describe(json)}`);
    const record: Local = {};
    const keys = Object.keys(json);
    state.members += keys.length;
    for (const text of keys) {
      try {
        if (json[text] === null && !readsNull) throw new CodecError("map.null", "a map value must not be null");
        const value = read(json[text], state);
        if (value === undefined) continue;
        const key = keyOf(text);
        if (Object.hasOwn(record, key)) throw new CodecError("map.duplicate_key", "two entries have the same key");
        setOwn(record, key, value);
      } catch (failure) {
        throw within(subscript(text), failure);
      }
    }
    return record;
  };
}

/** The reader of a singular value, list item or map value. */
function itemReader(field: FieldPlan, nodes: JsonNodes): ValueReader {
  if (field.desc.enum !== undefined) return enumReader(field, nodes);
  if (field.message === undefined) return scalarValue(field.scalar!, field.longAsString); // neither enum nor message
  const node = nodes.get(field.message);
  switch (field.holding) {
    case "struct":
      return (json, state) => structToPlain(node.decode(json, state));
    case "wrapper": {
      const name = wrappedField(field.message).localName;
      return (json, state) => node.decode(json, state)[name];
    }
    case "message":
      return (json, state) => node.decode(json, state);
  }
}

function enumReader(field: FieldPlan, nodes: JsonNodes): ValueReader {
  const desc = field.desc.enum!; // only called for enums
  const { numberOf } = enumNames(desc, "full");
  const known = new Set(desc.values.map(value => value.number));
  const zero = desc.values[0]?.number ?? 0;
  const ignores = nodes.options.unknownFields === "ignore";
  return json => {
    if (json === null) return zero;
    if (typeof json === "string") {
      const number = numberOf.get(json);
      if (number !== undefined) return number;
      if (ignores) return undefined;
    } else if (typeof json === "number" && Number.isInteger(json)) {
      const isValid = desc.open ? (json | 0) === json : known.has(json);
      if (isValid) return json;
    }
    throw new CodecError("enum.value", `expected a value of ${desc.typeName}, got ${describe(json)}`);
  };
}
