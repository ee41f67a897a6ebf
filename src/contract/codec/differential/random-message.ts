import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { isWrapper, type Local, setOwn, wrappedField } from "../plan.ts";
import type { Dice } from "./dice.ts";

/** A message with a random selection of fields set to values at and around the limits of their types. */
export function randomMessage(dice: Dice, desc: DescMessage, depth = 0): Message {
  const message = create(desc) as unknown as Local;
  fillWellKnown(dice, desc, message);
  if (!desc.typeName.startsWith("google.protobuf.")) {
    for (const field of desc.fields) {
      const isRequired = field.presence === 3;
      if (!isRequired && !dice.chance(0.55)) continue;
      const value = fieldValue(dice, field, depth);
      if (value === undefined) continue;
      if (field.oneof === undefined) setOwn(message, field.localName, value);
      else setOwn(message, field.oneof.localName, { case: field.localName, value });
    }
  } else if (isWrapper(desc)) {
    const field = wrappedField(desc);
    message[field.localName] = scalar(dice, field.scalar, field.longAsString);
  }
  return message as unknown as Message;
}

function fillWellKnown(dice: Dice, desc: DescMessage, message: Local): void {
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
      message["seconds"] = BigInt(Math.floor(dice.next() * 315_537_897_599) - 62_135_596_800);
      message["nanos"] = dice.pick([0, 1, 1000, 1_000_000, 999_999_999, dice.upTo(1_000_000_000)]);
      break;
    case "google.protobuf.Duration": {
      const sign = dice.pick([1, -1]);
      message["seconds"] = BigInt(sign * dice.upTo(315_576_000_000));
      message["nanos"] = sign * dice.pick([0, 1, 5_000_000, 999_999_999]) || 0;
      break;
    }
    case "google.protobuf.FieldMask":
      message["paths"] = Array.from({ length: dice.upTo(3) }, () => dice.pick(["a", "foo_bar", "x.y_z"]));
      break;
    case "google.protobuf.Struct":
      for (let count = dice.upTo(3); count > 0; count--) {
        setOwn(message["fields"] as Local, dice.pick(["a", "__proto__", "b c"]), valueMessage(dice, desc));
      }
      break;
    case "google.protobuf.Value":
      message["kind"] = valueKind(dice);
      break;
    case "google.protobuf.ListValue":
      message["values"] = Array.from({ length: dice.upTo(3) }, () => valueMessage(dice, desc));
      break;
  }
}

function valueMessage(dice: Dice, parent: DescMessage): Message {
  const desc = parent.file.messages.find(candidate => candidate.name === "Value");
  if (desc === undefined) throw new Error("Value is not beside Struct");
  return randomMessage(dice, desc);
}

function valueKind(dice: Dice): object {
  return dice.pick<object>([
    { case: "nullValue", value: 0 },
    { case: "numberValue", value: -0.5 },
    { case: "stringValue", value: 'text: "quoted"' },
    { case: "boolValue", value: false },
  ]);
}

function plainJson(dice: Dice, depth: number): unknown {
  switch (dice.upTo(depth > 2 ? 4 : 6)) {
    case 0:
      return null;
    case 1:
      return dice.next() * 100;
    case 2:
      return randomText(dice);
    case 3:
      return dice.chance(0.5);
    case 4:
      return Array.from({ length: dice.upTo(3) }, () => plainJson(dice, depth + 1));
    default:
      return plainObject(dice, depth + 1);
  }
}

function plainObject(dice: Dice, depth: number): Local {
  const object: Local = {};
  for (let count = dice.upTo(3); count > 0; count--) {
    setOwn(object, dice.pick(["a", "b", "__proto__", "7"]), plainJson(dice, depth));
  }
  return object;
}

function fieldValue(dice: Dice, field: DescField, depth: number): unknown {
  switch (field.fieldKind) {
    case "list":
      return Array.from({ length: dice.pick([0, 1, 2, 2, 3, 40]) >> depth }, () => single(dice, field, depth));
    case "map": {
      const record: Local = {};
      for (let count = dice.upTo(4) >> depth; count > 0; count--) {
        setOwn(record, String(scalar(dice, field.mapKey, false)), single(dice, field, depth));
      }
      return record;
    }
    default:
      return single(dice, field, depth);
  }
}

function single(dice: Dice, field: DescField, depth: number): unknown {
  if (field.enum !== undefined) {
    return field.enum.open && dice.chance(0.2) ? dice.bits32() | 0 : dice.pick(field.enum.values).number;
  }
  if (field.message !== undefined) {
    if (field.message.typeName === "google.protobuf.Struct" && !field.oneof) return plainObject(dice, 0);
    if (field.message.typeName === "google.protobuf.Struct") return plainObject(dice, 0);
    if (field.fieldKind === "message" && field.oneof === undefined && isWrapper(field.message)) {
      return scalar(dice, wrappedField(field.message).scalar, false);
    }
    if (depth > 3 && field.fieldKind === "message") return undefined;
    return randomMessage(dice, field.message, depth + 1);
  }
  return scalar(dice, field.scalar, "longAsString" in field && field.longAsString === true);
}

export function randomText(dice: Dice): string {
  const alphabet = dice.pick(["abcXYZ019_-", 'a"\\\n\u0000:/', "é€😀a\ufeff"]);
  const letters = [...alphabet];
  const length = dice.pick([0, 1, 2, 5, 8, 15, 16, 17, 33, 60, 130, 300]);
  return Array.from({ length }, () => dice.pick(letters)).join("");
}

function scalar(dice: Dice, type: ScalarType, longAsString: boolean): unknown {
  switch (type) {
    case ScalarType.STRING:
      return randomText(dice);
    case ScalarType.BYTES:
      return Uint8Array.from({ length: dice.pick([0, 1, 2, 3, 200]) }, () => dice.upTo(256));
    case ScalarType.BOOL:
      return dice.chance(0.5);
    case ScalarType.DOUBLE:
      return dice.pick([
        0,
        -0,
        1.5,
        Number.NaN,
        Infinity,
        -Infinity,
        5e-324,
        1.7976931348623157e308,
        dice.next() * 1e6,
      ]);
    case ScalarType.FLOAT:
      return Math.fround(dice.pick([0, -0, 1.5, Number.NaN, Infinity, 3.4028234663852886e38, dice.next() * 1e6]));
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return dice.pick([0, 1, -1, 127, 128, 0x7fffffff, -0x80000000, dice.bits32() | 0]);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return dice.pick([0, 1, 127, 128, 16384, 0xffffffff, dice.bits32()]);
    default: {
      const isUnsigned = type === ScalarType.UINT64 || type === ScalarType.FIXED64;
      const bits = (BigInt(dice.bits32()) << 32n) | BigInt(dice.bits32());
      const raw = dice.pick([0n, 1n, 127n, 128n, 1_700_000_000_000n, -1n, 1n << 63n, bits]);
      const long = isUnsigned ? BigInt.asUintN(64, raw) : BigInt.asIntN(64, raw);
      return longAsString ? String(long) : long;
    }
  }
}
