import { ScalarType } from "@bufbuild/protobuf";
import { literal, member, SourceUnit } from "../code-generation.ts";
import { subscript, within } from "../codec-error.ts";
import { shortTextMax } from "../limits.ts";
import type { FieldPlan, MessagePlan } from "../plan.ts";
import { checkType } from "../presence.ts";
import { fieldWriter } from "./encode-closures.ts";
import type { EncodeMessage, MessageNodes } from "./message-node.ts";
import { type UnknownField, writeUnknown } from "./unknown-field.ts";
import { closeLength, putVarint32, putVarint64, room, tagBytes, wireTypeOf, writeString } from "./write-scalar.ts";

/**
 * Source text for encoding one type. Common kinds of fields are written inline for the values they usually have; a
 * value that is not of the expected kind, and every uncommon kind of field, goes to the field's closure, which decides.
 *
 * In the text: `m` message, `w` writer, `b` its bytes, `p` position, `v` a field's value. Between fields there is always
 * room for every inline field that may follow, so that single bytes need no check; text and messages renew it.
 */
export function generateEncode(plan: MessagePlan, nodes: MessageNodes): EncodeMessage {
  const unit = new SourceUnit();
  const reserve = 16 + plan.fields.reduce((sum, field) => sum + tagBytes(field.number, 0).length + 11, 0);
  unit.line("return function encode(m, w, p) {");
  unit.line("const type = m.$typeName;");
  if (plan.fields.length > 0) {
    unit.line(
      `if (type !== ${literal(plan.typeName)} && type !== undefined) ${unit.ref(checkType)}(${unit.ref(plan)}, m);`,
    );
  }
  unit.line("let b = w.bytes, v, o, n = 0, q = 0, c = 0, i = 0;");
  unit.line(renew(unit, reserve));
  for (const field of plan.fields) writeFieldSource(unit, field, nodes, reserve);
  unit.line(`v = m.$unknown; if (v !== undefined) p = ${unit.ref(writeUnknownFields)}(w, p, v);`);
  unit.line("return p; };");
  return unit.build() as EncodeMessage;
}

function writeUnknownFields(...args: Parameters<typeof writeUnknown>): number {
  return writeUnknown(args[0], args[1], args[2] as UnknownField[]);
}

function renew(unit: SourceUnit, reserve: number): string {
  return `if (p + ${reserve} > b.length) b = ${unit.ref(room)}(w, p, ${reserve});`;
}

function writeFieldSource(unit: SourceUnit, field: FieldPlan, nodes: MessageNodes, reserve: number): void {
  const closure = `p = ${unit.ref(fieldWriter(field, nodes))}(m, w, p); b = w.bytes; ${renew(unit, reserve)}`;
  const inline = inlineSource(unit, field, nodes, reserve);
  if (inline === undefined) {
    unit.line(closure);
    return;
  }
  unit.line(load(field));
  unit.line(`if (${inline.test}) { ${inline.body} }`);
  unit.line(field.presence === "required" ? `else { ${closure} }` : `else if (v !== undefined) { ${closure} }`);
}

/** Loads the field's value into `v`; `undefined` when it is not set. */
function load(field: FieldPlan): string {
  const name = field.localName;
  if (field.oneof !== undefined) {
    const oneof = member("m", field.oneof.localName);
    const own =
      field.oneof.localName in Object.prototype ? `Object.hasOwn(m, ${literal(field.oneof.localName)})` : "true";
    return `o = ${own} ? ${oneof} : undefined; v = o !== undefined && o !== null && o.case === ${literal(name)} ? o.value : undefined;`;
  }
  return field.ownOnly
    ? `v = Object.hasOwn(m, ${literal(name)}) ? ${member("m", name)} : undefined;`
    : `v = ${member("m", name)};`;
}

interface Inline {
  /** The kind of value for which the body is right. */
  readonly test: string;
  readonly body: string;
}

function inlineSource(unit: SourceUnit, field: FieldPlan, nodes: MessageNodes, reserve: number): Inline | undefined {
  const skipsZero = field.presence === "implicit" && field.oneof === undefined;
  const desc = field.desc;
  if (field.message !== undefined) {
    if (field.holding !== "message" || field.kind === "map") return undefined;
    if ("delimitedEncoding" in desc && desc.delimitedEncoding === true) return undefined;
    return messageSource(unit, field, nodes, reserve);
  }
  if (field.kind === "list" || field.kind === "map") return undefined;
  const scalar = field.scalar!; // neither message, list nor map
  const tag = putTag(field.number, wireTypeOf(scalar));
  switch (scalar) {
    case ScalarType.STRING:
      return { test: `typeof v === "string"`, body: stringSource(unit, field, skipsZero, reserve) };
    case ScalarType.BOOL:
      return {
        test: "v === true || v === false",
        body: `${skipsZero ? "if (v)" : ""} { ${tag} b[p++] = v ? 1 : 0; }`,
      };
    case ScalarType.INT32:
    case ScalarType.UINT32: {
      const put = `{ ${tag} if (v < 128) b[p++] = v; else p = ${unit.ref(putVarint32)}(b, p, v); }`;
      // −0 passes the test of a whole number and is written, or left out, as 0.
      return {
        test: `typeof v === "number" && (v | 0) === v && v >= 0`,
        body:
          skipsZero && field.zero === 0
            ? `if (v !== 0) ${put}`
            : skipsZero
              ? `if (v !== ${Number(field.zero)}) ${put}`
              : put,
      };
    }
    case ScalarType.DOUBLE:
      return {
        test: `typeof v === "number"`,
        body: `${skipsZero ? "if (v !== 0 || 1 / v < 0)" : ""} { ${tag} ${unit.ref(putDouble)}(b, p, v); p += 8; }`,
      };
    case ScalarType.INT64: {
      const low = `${unit.ref(scratch)}.getUint32(0, true)`;
      const high = `${unit.ref(scratch)}.getUint32(4, true)`;
      const put = `${tag} p = ${unit.ref(putVarint64)}(b, p, n, c);`;
      return {
        test: `typeof v === "bigint" && BigInt.asIntN(64, v) === v`,
        body: `${unit.ref(scratch)}.setBigInt64(0, v, true); n = ${low}; c = ${high}; ${skipsZero ? `if (n !== 0 || c !== 0) { ${put} }` : put}`,
      };
    }
    default:
      return undefined;
  }
}

const scratch = new DataView(new ArrayBuffer(8));

function putDouble(bytes: Buffer, position: number, value: number): void {
  scratch.setFloat64(0, value, true);
  const low = scratch.getUint32(0, true);
  const high = scratch.getUint32(4, true);
  bytes[position] = low;
  bytes[position + 1] = low >>> 8;
  bytes[position + 2] = low >>> 16;
  bytes[position + 3] = low >>> 24;
  bytes[position + 4] = high;
  bytes[position + 5] = high >>> 8;
  bytes[position + 6] = high >>> 16;
  bytes[position + 7] = high >>> 24;
}

function putTag(number: number, wireType: number): string {
  return tagBytes(number, wireType)
    .map(byte => `b[p++] = ${byte};`)
    .join(" ");
}

function stringSource(unit: SourceUnit, field: FieldPlan, skipsZero: boolean, reserve: number): string {
  const tag = putTag(field.number, 2);
  return [
    "n = v.length;",
    skipsZero ? "if (n !== 0) {" : "{",
    tag,
    "q = p + 1; i = 0;",
    `if (n <= ${shortTextMax * 2}) {`,
    `if (q + n + ${reserve} > b.length) b = ${unit.ref(room)}(w, p, n + ${reserve} + 1);`,
    "for (; i < n; i++) { c = v.charCodeAt(i); if (c > 127) break; b[q++] = c; }",
    "}",
    `if (i === n) { b[p] = n; p = q; }`,
    `else { p = ${unit.ref(writeString)}(w, p, v); b = w.bytes; ${renew(unit, reserve)} }`,
    "}",
  ].join(" ");
}

function messageSource(unit: SourceUnit, field: FieldPlan, nodes: MessageNodes, reserve: number): Inline {
  const node = unit.ref(nodes.get(field.message!), "node"); // only called for message fields
  const tag = putTag(field.number, 2);
  const wrap = unit.ref(within);
  const name = literal(field.protoName);
  const close = `p = ${unit.ref(closeLength)}(w, q, p); b = w.bytes; ${renew(unit, reserve)}`;
  if (field.kind === "list") {
    const body = `${tag} let q = p; p = ${node}.encode(v[i], w, p + 1); ${close}`;
    return {
      test: "Array.isArray(v)",
      body: `i = 0; try { for (; i < v.length; i++) { ${body} } } catch (failure) { throw ${wrap}(${name} + ${unit.ref(subscript)}(i), failure); }`,
    };
  }
  return {
    test: `typeof v === "object" && v !== null`,
    body: `${tag} let q = p; try { p = ${node}.encode(v, w, p + 1); } catch (failure) { throw ${wrap}(${name}, failure); } ${close}`,
  };
}
