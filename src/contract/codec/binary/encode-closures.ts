import { ScalarType } from "@bufbuild/protobuf";
import type { ByteWriter } from "../../../platform/index.ts";
import { CodecError, subscript, within } from "../codec-error.ts";
import { type FieldPlan, fieldValue, isLong, type Local, type MessagePlan, wrappedField } from "../plan.ts";
import { checkType, isZero } from "../presence.ts";
import { structFromPlain } from "../struct-value.ts";
import type { EncodeMessage, MessageNodes } from "./message-node.ts";
import { type UnknownField, writeUnknown } from "./unknown-field.ts";
import { closeLength, room, scalarWriter, tagBytes, type WriteScalar, wireTypeOf, writeTag } from "./write-scalar.ts";

/** Writes a field of a message when it is set. */
export type FieldWriter = (message: Local, writer: ByteWriter, position: number) => number;

/** Writes one value with its tag. */
type ValueWriter = (writer: ByteWriter, position: number, value: unknown) => number;

export function encodeWithClosures(plan: MessagePlan, nodes: MessageNodes): EncodeMessage {
  let writers: FieldWriter[] | undefined;
  return (message, writer, position) => {
    checkType(plan, message);
    writers ??= plan.fields.map(field => fieldWriter(field, nodes));
    for (const write of writers) position = write(message, writer, position);
    const unknown = message["$unknown"];
    return unknown === undefined ? position : writeUnknown(writer, position, unknown as UnknownField[]);
  };
}

/** The writer of one field, of any kind. */
export function fieldWriter(field: FieldPlan, nodes: MessageNodes): FieldWriter {
  const write = setFieldWriter(field, nodes);
  return (message, writer, position) => {
    const value = fieldValue(message, field);
    if (value === undefined) {
      if (field.presence === "required") throw missing(field);
      return position;
    }
    try {
      return write(writer, position, value);
    } catch (failure) {
      throw within(field.protoName, failure);
    }
  };
}

export function missing(field: FieldPlan): CodecError {
  return new CodecError("field.required", "a required field is not set", field.protoName);
}

function setFieldWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  switch (field.kind) {
    case "list":
      return listWriter(field, nodes);
    case "map":
      return mapWriter(field, nodes);
    default: {
      const write = valueWriter(field, nodes);
      if (field.presence !== "implicit" || field.oneof !== undefined) return write;
      return (writer, position, value) => (isZero(field, value) ? position : write(writer, position, value));
    }
  }
}

function valueWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  if (field.message !== undefined) return messageWriter(field, nodes);
  const scalar = field.scalar!; // every field without a message has one
  const tag = tagBytes(field.number, wireTypeOf(scalar));
  const write = scalarWriter(scalar);
  return (writer, position, value) => write(writer, writeTag(writer, position, tag), value);
}

function messageWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  const body = bodyWriter(field, nodes);
  const desc = field.desc;
  if ("delimitedEncoding" in desc && desc.delimitedEncoding === true) {
    const start = tagBytes(field.number, 3);
    const end = tagBytes(field.number, 4);
    return (writer, position, value) =>
      writeTag(writer, body(value as Local, writer, writeTag(writer, position, start)), end);
  }
  const tag = tagBytes(field.number, 2);
  return (writer, position, value) => {
    const start = writeTag(writer, position, tag);
    room(writer, start, 1);
    return closeLength(writer, start, body(value as Local, writer, start + 1));
  };
}

/** Writes the fields of a message field's value, however it is held. */
function bodyWriter(field: FieldPlan, nodes: MessageNodes): EncodeMessage {
  const node = nodes.get(field.message!); // only called for message fields
  switch (field.holding) {
    case "struct":
      return (value, writer, position) => node.encode(structFromPlain(value), writer, position);
    case "wrapper": {
      const name = wrappedField(node.plan.desc).localName;
      return (value, writer, position) => node.encode({ [name]: value }, writer, position);
    }
    case "message":
      return (value, writer, position) => {
        if (typeof value !== "object") throw new CodecError("message.type", `expected a ${node.plan.typeName}`);
        return node.encode(value, writer, position);
      };
  }
}

function listWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  const desc = field.desc;
  if (desc.fieldKind === "list" && desc.packed) {
    const tag = tagBytes(field.number, 2);
    const write = scalarWriter(field.scalar!); // packed fields are scalars
    return (writer, position, value) => {
      const items = value as readonly unknown[];
      if (items.length === 0) return position;
      const start = writeTag(writer, position, tag);
      room(writer, start, 1);
      return closeLength(writer, start, writeItems(writer, start + 1, items, write));
    };
  }
  const write = valueWriter(field, nodes);
  return (writer, position, value) => writeItems(writer, position, value as readonly unknown[], write);
}

function writeItems(writer: ByteWriter, position: number, items: readonly unknown[], write: WriteScalar): number {
  for (let index = 0; index < items.length; index++) {
    try {
      position = write(writer, position, items[index]);
    } catch (failure) {
      throw within(subscript(index), failure);
    }
  }
  return position;
}

function mapWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  const desc = field.desc;
  if (desc.fieldKind !== "map") throw new TypeError(`${field.protoName} is not a map`);
  const entryTag = tagBytes(field.number, 2);
  const keyTag = tagBytes(1, wireTypeOf(desc.mapKey));
  const keyOf = keyConverter(desc.mapKey);
  const writeKey = scalarWriter(desc.mapKey);
  const writeValue = mapValueWriter(field, nodes);
  return (writer, position, value) => {
    const record = value as Local;
    for (const key of Object.keys(record)) {
      const start = writeTag(writer, position, entryTag);
      room(writer, start, 1);
      try {
        position = writeKey(writer, writeTag(writer, start + 1, keyTag), keyOf(key));
        position = closeLength(writer, start, writeValue(writer, position, record[key]));
      } catch (failure) {
        throw within(subscript(key), failure);
      }
    }
    return position;
  };
}

function mapValueWriter(field: FieldPlan, nodes: MessageNodes): ValueWriter {
  if (field.message === undefined) {
    const scalar = field.scalar!; // map values without a message have one
    const tag = tagBytes(2, wireTypeOf(scalar));
    const write = scalarWriter(scalar);
    return (writer, position, value) => write(writer, writeTag(writer, position, tag), value);
  }
  const tag = tagBytes(2, 2);
  const body = bodyWriter(field, nodes);
  return (writer, position, value) => {
    const start = writeTag(writer, position, tag);
    room(writer, start, 1);
    return closeLength(writer, start, body(value as Local, writer, start + 1));
  };
}

/** Keys are held as text; the wire wants their type. What cannot be converted goes to the writer, which refuses it. */
function keyConverter(type: ScalarType): (key: string) => unknown {
  if (type === ScalarType.STRING) return key => key;
  if (type === ScalarType.BOOL) return key => (key === "true" ? true : key === "false" ? false : key);
  if (isLong(type)) return key => key;
  return key => {
    const number = Number.parseInt(key, 10);
    return Number.isNaN(number) ? key : number;
  };
}
