import { create, type DescField, type DescMessage, type DescOneof, ScalarType } from "@bufbuild/protobuf";

/** A message, an initialiser, or anything that stands for one: properties by local name. */
export type Local = Record<string, unknown>;

/** How the value of a message field is held: as the message, as a wrapper's bare value, or as plain JSON (Struct). */
export type Holding = "message" | "wrapper" | "struct";

/** What both formats, both directions and both backends need to know of a field. */
export interface FieldPlan {
  readonly desc: DescField;
  readonly kind: "scalar" | "enum" | "message" | "list" | "map";
  readonly localName: string;
  readonly protoName: string;
  readonly jsonName: string;
  readonly number: number;
  /** Of a scalar, list item or map value; INT32 for enums; `undefined` for messages. */
  readonly scalar: ScalarType | undefined;
  readonly message: DescMessage | undefined;
  readonly holding: Holding;
  readonly oneof: DescOneof | undefined;
  readonly presence: "implicit" | "explicit" | "required";
  /** A value may also be found on the prototype chain, so that only an own property counts. */
  readonly ownOnly: boolean;
  /** 64-bit integers are held as strings. */
  readonly longAsString: boolean;
  /** The value of an implicit field that is not set; `undefined` for explicit ones. */
  readonly zero: unknown;
}

/** What is known of a message type. */
export interface MessagePlan {
  readonly desc: DescMessage;
  readonly typeName: string;
  /** By number: the order of the encodings. */
  readonly fields: readonly FieldPlan[];
  /** The object that holds the defaults of explicit fields (proto2, editions), as protobuf-es uses it. */
  readonly prototype: object | undefined;
}

const fieldPresenceImplicit = 2;
const fieldPresenceRequired = 3;

const wrapperNames = new Set(
  ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].map(
    name => `google.protobuf.${name}Value`,
  ),
);

/** Whether a type is one of google/protobuf/wrappers.proto. */
export function isWrapper(desc: DescMessage): boolean {
  const value = desc.fields[0];
  return (
    wrapperNames.has(desc.typeName) && value?.fieldKind === "scalar" && value.name === "value" && value.number === 1
  );
}

/** The field of a wrapper. */
export function wrappedField(desc: DescMessage): DescField & { fieldKind: "scalar" } {
  const value = desc.fields[0];
  if (value?.fieldKind !== "scalar") throw new TypeError(`${desc.typeName} is not a wrapper`);
  return value;
}

export function scalarZero(scalar: ScalarType, longAsString: boolean): unknown {
  switch (scalar) {
    case ScalarType.STRING:
      return "";
    case ScalarType.BOOL:
      return false;
    case ScalarType.BYTES:
      return new Uint8Array(0);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return longAsString ? "0" : 0n;
    default:
      return 0;
  }
}

/** Whether a scalar is held as a bigint (or string). */
export function isLong(scalar: ScalarType): boolean {
  switch (scalar) {
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return true;
    default:
      return false;
  }
}

export function planField(desc: DescField, hasPrototype: boolean): FieldPlan {
  const scalar = desc.enum === undefined ? desc.scalar : ScalarType.INT32;
  const presence =
    desc.presence === fieldPresenceImplicit
      ? "implicit"
      : desc.presence === fieldPresenceRequired
        ? "required"
        : "explicit";
  // `jstype` may stand at any scalar, but means something for 64-bit integers only.
  const longAsString =
    desc.fieldKind !== "map" && "longAsString" in desc && desc.longAsString && scalar !== undefined && isLong(scalar);
  let zero: unknown;
  if (presence === "implicit" && desc.fieldKind === "scalar") {
    zero = desc.getDefaultValue() ?? scalarZero(desc.scalar, longAsString);
    if (longAsString) zero = String(zero);
  } else if (presence === "implicit" && desc.fieldKind === "enum") {
    zero = desc.getDefaultValue() ?? desc.enum.values[0]?.number ?? 0;
  }
  return {
    desc,
    kind: desc.fieldKind,
    localName: desc.localName,
    protoName: desc.name,
    jsonName: desc.jsonName,
    number: desc.number,
    scalar,
    message: desc.message,
    holding: holdingOf(desc),
    oneof: desc.fieldKind === "list" || desc.fieldKind === "map" ? undefined : desc.oneof,
    presence,
    ownOnly:
      (presence !== "implicit" && hasPrototype && desc.fieldKind !== "message") || desc.localName in Object.prototype,
    longAsString,
    zero,
  };
}

function holdingOf(desc: DescField): Holding {
  if (desc.message === undefined) return "message";
  if (desc.message.typeName === "google.protobuf.Struct" && desc.parent.typeName !== "google.protobuf.Value") {
    return "struct";
  }
  return desc.fieldKind === "message" && desc.oneof === undefined && isWrapper(desc.message) ? "wrapper" : "message";
}

const plans = new WeakMap<DescMessage, MessagePlan>();

export function planMessage(desc: DescMessage): MessagePlan {
  let plan = plans.get(desc);
  if (plan === undefined) {
    const prototype: unknown = Object.getPrototypeOf(create(desc));
    const hasPrototype = prototype !== Object.prototype;
    plan = {
      desc,
      typeName: desc.typeName,
      fields: desc.fields.map(field => planField(field, hasPrototype)).sort((a, b) => a.number - b.number),
      prototype: hasPrototype ? (prototype as object) : undefined,
    };
    plans.set(desc, plan);
  }
  return plan;
}

/** Whether the object itself, not its prototype, has a defined property. */
export function ownValue(object: Local, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Sets a property; `__proto__` becomes an ordinary own one. */
export function setOwn(object: Local, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

/** The value of a field that is set, otherwise `undefined`; `null` counts as not set. Implicit zeros are returned. */
export function fieldValue(message: Local, field: FieldPlan): unknown {
  if (field.oneof !== undefined) {
    const name = field.oneof.localName;
    const oneof = (name in Object.prototype ? ownValue(message, name) : message[name]) as
      | { case?: unknown; value?: unknown }
      | undefined
      | null;
    return oneof?.case === field.localName ? (oneof.value ?? undefined) : undefined;
  }
  const value = field.ownOnly ? ownValue(message, field.localName) : message[field.localName];
  return value ?? undefined;
}

/** A message with nothing set, exactly as protobuf-es creates it. */
export function emptyMessage(plan: MessagePlan): Local {
  return create(plan.desc) as unknown as Local;
}
