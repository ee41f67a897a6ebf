import { ScalarType } from "@bufbuild/protobuf";
import { literal, SourceUnit } from "../code-generation.ts";
import { type CodecError, within } from "../codec-error.ts";
import { createSource, initialSource } from "../create-generated.ts";
import { messageDepthMax } from "../limits.ts";
import type { FieldPlan, MessagePlan } from "../plan.ts";
import { heldReader, listItemsReader, mapEntryReader, scalarReaderOf } from "./decode-closures.ts";
import type { DecodeMessage, MessageNodes } from "./message-node.ts";
import { illegalTag, readBool, readInt32, readTag, readVarint32, textOf, truncated } from "./read-scalar.ts";
import { readUnknown, tooDeep, unknownEnum } from "./unknown-field.ts";
import { wireTypeOf } from "./write-scalar.ts";

/**
 * Source text for decoding one type: fields are collected in local variables (`f0`, `f1`, …; `o0` for oneofs) and the
 * message is created once, complete, at the end. A `switch` on the whole tag; behind each field the tag that would come
 * next in the order of numbers is tried first, by falling through into its case. Tags whose wire type is not the
 * declared one reach the declared one's case by way of `default`, since protobuf-es reads them so.
 *
 * In the text: `b` bytes, `p` position, `e` end, `c` cursor, `t` tag, `n` length, `v` value, `u` unknown fields.
 */
export function generateDecode(plan: MessagePlan, nodes: MessageNodes): DecodeMessage {
  const unit = new SourceUnit();
  const fields = plan.fields;
  const canonical = new Map(fields.map(field => [field.number, declaredTag(field)]));
  const oneofs = plan.desc.oneofs;
  unit.line("return function decode(b, p, e, c) {");
  unit.line(`if (++c.depth > ${messageDepthMax}) throw ${unit.ref(tooDeep)}();`);
  unit.line("let t = 0, n = 0, v, k, u, q = 0, wire = 0; const limit = c.limit;");
  fields.forEach((field, index) => {
    if (field.oneof === undefined) unit.line(`let f${index} = ${initialSource(unit, field)};`);
  });
  oneofs.forEach((_, index) => {
    unit.line(`let o${index};`);
  });
  unit.line("try { while (p < e) {");
  unit.line(`t = b[p++]; if (t > 127) { t = ${unit.ref(readTag)}(b, p - 1, c); p = c.pos; } wire = t & 7;`);
  unit.line("dispatch: for (;;) switch (t) {");
  const others: string[] = [];
  fields.forEach((field, index) => {
    const target = field.oneof === undefined ? `f${index}` : `o${oneofs.indexOf(field.oneof)}`;
    if (mayBePacked(field)) {
      // Both encodings of a list are read; the one that the schema says is expected, the other has its case further down.
      const items = unit.ref(listItemsReader(field), "items");
      const read = (isPacked: boolean): string => `${items}(${target}, b, p, c, ${isPacked}); p = c.pos;`;
      const isPacked = expectedTag(field) !== declaredTag(field);
      const other = isPacked ? declaredTag(field) : tagOf(field.number, 2);
      others.push(`case ${other}: ${read(!isPacked)} break dispatch;`);
      unit.line(`case ${expectedTag(field)}: ${read(isPacked)}`);
    } else {
      unit.line(`case ${expectedTag(field)}:`);
      unit.line(readSource(unit, field, target, nodes));
    }
    const next = fields[index + 1];
    const nextTag = next === undefined ? 128 : expectedTag(next);
    if (nextTag < 128) {
      unit.line(`if (p >= e || b[p] !== ${nextTag}) break dispatch; p++; t = ${nextTag}; wire = ${nextTag & 7};`);
    } else {
      unit.line("break dispatch;");
    }
  });
  for (const other of others) unit.line(other);
  unit.line("default:");
  unit.line(`if (t < 8 || (t & 7) > 5) throw ${unit.ref(illegalTag)}();`);
  unit.line(`k = ${unit.ref(canonical)}.get(t >>> 3); if (k !== undefined) { t = k; continue dispatch; }`);
  unit.line(`(u ??= []).push(${unit.ref(readUnknown)}(b, p, t, c)); p = c.pos; break dispatch;`);
  unit.line("} }");
  unit.line(`} catch (failure) { throw ${unit.ref(at)}(${unit.ref(plan)}, t, failure); }`);
  unit.line(`if (p > limit) throw ${unit.ref(truncated)}();`);
  unit.line("c.pos = p; c.depth--;");
  createSource(unit, plan);
  unit.line("if (u !== undefined) m.$unknown = u; return m; };");
  return unit.build() as DecodeMessage;
}

/** Puts the name of the field that was being read in front of a failure's path. */
function at(plan: MessagePlan, tag: number, failure: unknown): CodecError {
  const field = plan.fields.find(candidate => candidate.number === tag >>> 3);
  if (field === undefined) return within("", failure);
  return within(field.protoName, failure);
}

function tagOf(number: number, wireType: number): number {
  return ((number << 3) | wireType) >>> 0;
}

function mayBePacked(field: FieldPlan): boolean {
  return field.kind === "list" && field.scalar !== undefined && wireTypeOf(field.scalar) !== 2;
}

/** The tag that a well-behaved sender writes. */
function expectedTag(field: FieldPlan): number {
  const desc = field.desc;
  return desc.fieldKind === "list" && desc.packed ? tagOf(field.number, 2) : declaredTag(field);
}

/** The tag with the wire type of the field's type; that of one item for lists. */
function declaredTag(field: FieldPlan): number {
  if (field.kind === "map") return tagOf(field.number, 2);
  if (field.message === undefined) return tagOf(field.number, wireTypeOf(field.scalar!)); // not a message: has a scalar
  return tagOf(field.number, isGroup(field) ? 3 : 2);
}

function isGroup(field: FieldPlan): boolean {
  const desc = field.desc;
  return "delimitedEncoding" in desc && desc.delimitedEncoding === true;
}

/** Reads a length into `n`; `q` is where it began. What the array does not have is undefined, and no length. */
function lengthSource(unit: SourceUnit): string {
  return `q = p; n = b[p++]; if (n > 127) { n = ${unit.ref(readVarint32)}(b, q, c); p = c.pos; } if (!(n <= limit - p)) throw ${unit.ref(truncated)}();`;
}

function readSource(unit: SourceUnit, field: FieldPlan, target: string, nodes: MessageNodes): string {
  if (field.kind === "map") {
    return `${unit.ref(mapEntryReader(field, nodes), "entry")}(${target}, b, p, c); p = c.pos;`;
  }
  if (field.kind === "list") return listSource(unit, field, target, nodes);
  if (field.message !== undefined) return messageSource(unit, field, target, nodes);
  if (field.oneof === undefined) return scalarSource(unit, field, target);
  return `${scalarSource(unit, field, "v")} ${setOneof(field, target, "v")}`;
}

function setOneof(field: FieldPlan, target: string, value: string): string {
  return `${target} = { case: ${literal(field.localName)}, value: ${value} };`;
}

function listSource(unit: SourceUnit, field: FieldPlan, target: string, nodes: MessageNodes): string {
  if (field.message === undefined) {
    if (field.scalar === ScalarType.STRING) return again(field, `${scalarSource(unit, field, "v")} ${target}.push(v);`);
    return `${unit.ref(listItemsReader(field), "items")}(${target}, b, p, c, wire === 2); p = c.pos;`;
  }
  if (isGroup(field) || field.holding !== "message") {
    return `${target}.push(${unit.ref(heldReader(field, nodes), "held")}(undefined, b, p, c)); p = c.pos;`;
  }
  const node = unit.ref(nodes.get(field.message), "node");
  return again(field, `${lengthSource(unit)} ${target}.push(${node}.decode(b, p, p + n, c)); p = c.pos;`);
}

/** Repeats a body while the same tag follows. */
function again(field: FieldPlan, body: string): string {
  const tag = declaredTag(field);
  return tag < 128 ? `for (;;) { ${body} if (p < e && b[p] === ${tag}) p++; else break; }` : body;
}

function messageSource(unit: SourceUnit, field: FieldPlan, target: string, nodes: MessageNodes): string {
  const held = unit.ref(heldReader(field, nodes), "held");
  const name = literal(field.localName);
  if (field.oneof !== undefined) {
    const existing = `${target} !== undefined && ${target}.case === ${name} ? ${target}.value : undefined`;
    return `v = ${held}(${existing}, b, p, c); p = c.pos; ${setOneof(field, target, "v")}`;
  }
  if (isGroup(field) || field.holding !== "message") return `${target} = ${held}(${target}, b, p, c); p = c.pos;`;
  const node = unit.ref(nodes.get(field.message!), "node"); // only called for message fields
  return `if (${target} === undefined) { ${lengthSource(unit)} ${target} = ${node}.decode(b, p, p + n, c); } else ${target} = ${held}(${target}, b, p, c); p = c.pos;`;
}

function scalarSource(unit: SourceUnit, field: FieldPlan, target: string): string {
  const closed = field.desc.enum !== undefined && field.kind === "enum" && !field.desc.enum.open;
  if (closed) {
    const known = unit.ref(new Set(field.desc.enum?.values.map(value => value.number)), "known");
    const keep = `(u ??= []).push(${unit.ref(unknownEnum)}(${field.number}, wire, v)); break dispatch;`;
    return `v = ${unit.ref(readInt32)}(b, p, c); p = c.pos; if (!${known}.has(v)) { ${keep} } ${target} = v;`;
  }
  const small = `${target} = b[p++]; if (${target} > 127)`;
  switch (field.scalar) {
    case ScalarType.STRING:
      return `${lengthSource(unit)} ${target} = ${unit.ref(textOf)}(b, p, p + n, ${field.desc.utf8Validation}); p += n;`;
    case ScalarType.INT32:
      return `${small} { ${target} = ${unit.ref(readInt32)}(b, p - 1, c); p = c.pos; }`;
    case ScalarType.UINT32:
      return `${small} { ${target} = ${unit.ref(readVarint32)}(b, p - 1, c); p = c.pos; }`;
    case ScalarType.BOOL:
      return `v = b[p++]; if (v > 127) { v = ${unit.ref(readBool)}(b, p - 1, c); p = c.pos; } else v = v !== 0; ${target} = v;`;
    default:
      return `${target} = ${unit.ref(scalarReaderOf(field), "read")}(b, p, c); p = c.pos;`;
  }
}
