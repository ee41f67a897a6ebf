import { ScalarType } from "@bufbuild/protobuf";
import { CodecError, within } from "../codec-error.ts";
import { messageDepthMax } from "../limits.ts";
import { emptyMessage, type FieldPlan, type Local, scalarZero, setOwn, wrappedField } from "../plan.ts";
import { structFromPlain, structToPlain } from "../struct-value.ts";
import type { MessageNodes } from "./message-node.ts";
import {
  type Cursor,
  type ReadScalar,
  readInt32,
  readLength,
  readTag,
  scalarReader,
  truncated,
} from "./read-scalar.ts";
import { readUnknown, skipField, tooDeep, type UnknownField, unknownEnum } from "./unknown-field.ts";

/** Reads a field behind its tag into a message and leaves the next position in the cursor. */
export type FieldReader = (message: Local, bytes: Uint8Array, pos: number, cursor: Cursor, wireType: number) => void;

/** Reads a message field's value, merging into the one that is there; returns it as it is held. */
export type HeldReader = (existing: unknown, bytes: Uint8Array, pos: number, cursor: Cursor) => unknown;

/** Reads fields up to `end` (of the message, which lies within the cursor's limit). */
export function readInto(
  readers: Map<number, FieldReader>,
  message: Local,
  bytes: Uint8Array,
  pos: number,
  end: number,
  cursor: Cursor,
): void {
  if (++cursor.depth > messageDepthMax) throw tooDeep();
  cursor.pos = pos;
  while (cursor.pos < end) {
    const tag = readTag(bytes, cursor.pos, cursor);
    readField(readers, message, bytes, tag, cursor);
  }
  if (cursor.pos > cursor.limit) throw truncated();
  cursor.depth--;
}

/** Reads fields up to the end tag of a group. */
export function readGroupInto(
  readers: Map<number, FieldReader>,
  message: Local,
  bytes: Uint8Array,
  pos: number,
  fieldNumber: number,
  cursor: Cursor,
): void {
  if (++cursor.depth > messageDepthMax) throw tooDeep();
  cursor.pos = pos;
  for (;;) {
    if (cursor.pos >= cursor.limit) throw truncated();
    const tag = readTag(bytes, cursor.pos, cursor);
    if ((tag & 7) === 4) {
      if (tag >>> 3 !== fieldNumber) {
        throw new CodecError("binary.group", "a group ends with another field's number");
      }
      break;
    }
    readField(readers, message, bytes, tag, cursor);
  }
  if (cursor.pos > cursor.limit) throw truncated();
  cursor.depth--;
}

function readField(
  readers: Map<number, FieldReader>,
  message: Local,
  bytes: Uint8Array,
  tag: number,
  cursor: Cursor,
): void {
  const reader = readers.get(tag >>> 3);
  if (reader === undefined) addUnknown(message, readUnknown(bytes, cursor.pos, tag, cursor));
  else reader(message, bytes, cursor.pos, cursor, tag & 7);
}

export function addUnknown(message: Local, field: UnknownField): void {
  const unknown = message["$unknown"] as UnknownField[] | undefined;
  if (unknown === undefined) message["$unknown"] = [field];
  else unknown.push(field);
}

/** The reader of one field, of any kind. A wire type other than the declared one is not looked at, as in protobuf-es. */
export function fieldReader(field: FieldPlan, nodes: MessageNodes): FieldReader {
  const read = bareFieldReader(field, nodes);
  return (message, bytes, pos, cursor, wireType) => {
    try {
      read(message, bytes, pos, cursor, wireType);
    } catch (failure) {
      throw within(field.protoName, failure);
    }
  };
}

function bareFieldReader(field: FieldPlan, nodes: MessageNodes): FieldReader {
  switch (field.kind) {
    case "list":
      return listReader(field, nodes);
    case "map": {
      const read = mapEntryReader(field, nodes);
      return (message, bytes, pos, cursor) => read(message[field.localName] as Local, bytes, pos, cursor);
    }
    case "message":
      return messageReader(field, nodes);
    case "enum":
      return enumReader(field);
    case "scalar": {
      const read = scalarReaderOf(field);
      const set = setter(field);
      return (message, bytes, pos, cursor) => set(message, read(bytes, pos, cursor));
    }
  }
}

/** The reader of a field's scalar (or list item). */
export function scalarReaderOf(field: FieldPlan): ReadScalar {
  return scalarReader(field.scalar!, field.desc.utf8Validation, field.longAsString); // only called for scalars
}

function setter(field: FieldPlan): (message: Local, value: unknown) => void {
  const { localName } = field;
  const oneof = field.oneof?.localName;
  if (oneof === undefined) return (message, value) => setOwn(message, localName, value);
  return (message, value) => setOwn(message, oneof, { case: localName, value });
}

function enumReader(field: FieldPlan): FieldReader {
  const set = setter(field);
  const desc = field.desc.enum!; // only called for enums
  if (desc.open) return (message, bytes, pos, cursor) => set(message, readInt32(bytes, pos, cursor));
  const known = new Set(desc.values.map(value => value.number));
  return (message, bytes, pos, cursor, wireType) => {
    const value = readInt32(bytes, pos, cursor);
    if (known.has(value)) set(message, value);
    else addUnknown(message, unknownEnum(field.number, wireType, value));
  };
}

function messageReader(field: FieldPlan, nodes: MessageNodes): FieldReader {
  const read = heldReader(field, nodes);
  const { localName } = field;
  const oneof = field.oneof?.localName;
  if (oneof === undefined) {
    return (message, bytes, pos, cursor) => {
      const existing = Object.hasOwn(message, localName) ? message[localName] : undefined;
      setOwn(message, localName, read(existing, bytes, pos, cursor));
    };
  }
  return (message, bytes, pos, cursor) => {
    const current = message[oneof] as { case?: string; value?: unknown };
    const value = read(current.case === localName ? current.value : undefined, bytes, pos, cursor);
    setOwn(message, oneof, { case: localName, value });
  };
}

/** The reader of a message field's value: merged when it is there already, converted to how it is held. */
export function heldReader(field: FieldPlan, nodes: MessageNodes): HeldReader {
  const node = nodes.get(field.message!); // only called for message fields
  const desc = field.desc;
  const isGroup = "delimitedEncoding" in desc && desc.delimitedEncoding === true;
  const mergeInto = (message: Local, bytes: Uint8Array, pos: number, cursor: Cursor): void => {
    if (isGroup) {
      node.mergeGroup(message, bytes, pos, field.number, cursor);
    } else {
      const length = readLength(bytes, pos, cursor);
      node.merge(message, bytes, cursor.pos, cursor.pos + length, cursor);
    }
  };
  switch (field.holding) {
    case "struct":
      return (existing, bytes, pos, cursor) => {
        const struct = structFromPlain(existing);
        mergeInto(struct, bytes, pos, cursor);
        return structToPlain(struct);
      };
    case "wrapper": {
      const name = wrappedField(node.plan.desc).localName;
      return (existing, bytes, pos, cursor) => {
        const wrapper = emptyMessage(node.plan);
        if (existing !== undefined) wrapper[name] = existing;
        mergeInto(wrapper, bytes, pos, cursor);
        return wrapper[name];
      };
    }
    case "message":
      return (existing, bytes, pos, cursor) => {
        if (existing === undefined && !isGroup) {
          const length = readLength(bytes, pos, cursor);
          return node.decode(bytes, cursor.pos, cursor.pos + length, cursor);
        }
        const message = (existing as Local | undefined) ?? emptyMessage(node.plan);
        mergeInto(message, bytes, pos, cursor);
        return message;
      };
  }
}

function listReader(field: FieldPlan, nodes: MessageNodes): FieldReader {
  const { localName } = field;
  if (field.message !== undefined) {
    const read = heldReader(field, nodes);
    return (message, bytes, pos, cursor) => {
      (message[localName] as unknown[]).push(read(undefined, bytes, pos, cursor));
    };
  }
  const read = listItemsReader(field);
  return (message, bytes, pos, cursor, wireType) =>
    read(message[localName] as unknown[], bytes, pos, cursor, wireType === 2);
}

/** Reads one record of a list of scalars: a packed one holds many items. */
export function listItemsReader(
  field: FieldPlan,
): (items: unknown[], bytes: Uint8Array, pos: number, cursor: Cursor, isLengthDelimited: boolean) => void {
  const read = scalarReaderOf(field);
  const mayBePacked = field.scalar !== ScalarType.STRING && field.scalar !== ScalarType.BYTES;
  return (items, bytes, pos, cursor, isLengthDelimited) => {
    if (!mayBePacked || !isLengthDelimited) {
      items.push(read(bytes, pos, cursor));
      return;
    }
    const end = readLength(bytes, pos, cursor) + cursor.pos;
    while (cursor.pos < end) items.push(read(bytes, cursor.pos, cursor));
  };
}

/** Reads an entry into a map. */
export function mapEntryReader(
  field: FieldPlan,
  nodes: MessageNodes,
): (record: Local, bytes: Uint8Array, pos: number, cursor: Cursor) => void {
  const desc = field.desc;
  if (desc.fieldKind !== "map") throw new TypeError(`${field.protoName} is not a map`);
  const readKey = scalarReader(desc.mapKey, desc.utf8Validation, false);
  const keyZero = scalarZero(desc.mapKey, false);
  let readValue: HeldReader;
  let valueZero: () => unknown;
  if (field.message !== undefined) {
    const node = nodes.get(field.message);
    readValue = heldReader(field, nodes);
    valueZero = () => (field.holding === "struct" ? {} : emptyMessage(node.plan));
  } else {
    const read = scalarReaderOf(field);
    readValue = (_existing, bytes, pos, cursor) => read(bytes, pos, cursor);
    const enumZero = desc.enum?.values[0]?.number;
    valueZero = () => enumZero ?? scalarZero(field.scalar!, false); // neither message nor enum: a scalar
  }
  return (record, bytes, pos, cursor) => {
    let key: unknown;
    let value: unknown;
    const end = readLength(bytes, pos, cursor) + cursor.pos;
    while (cursor.pos < end) {
      const tag = readTag(bytes, cursor.pos, cursor);
      switch (tag >>> 3) {
        case 1:
          key = readKey(bytes, cursor.pos, cursor);
          break;
        case 2:
          value = readValue(value, bytes, cursor.pos, cursor);
          break;
        default:
          skipField(bytes, cursor.pos, tag, cursor);
      }
    }
    setOwn(record, String(key ?? keyZero), value ?? valueZero());
  };
}
