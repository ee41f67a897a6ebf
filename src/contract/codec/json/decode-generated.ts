import { ScalarType } from "@bufbuild/protobuf";
import { literal, member, SourceUnit } from "../code-generation.ts";
import { type CodecError, describe, CodecError as Failure, within } from "../codec-error.ts";
import { createSource, initialSource } from "../create-generated.ts";
import { type FieldPlan, type Local, type MessagePlan, ownValue } from "../plan.ts";
import { conflict, fieldsByKey, fieldValueReader, readUnknownKey, twice } from "./decode-closures.ts";
import { enter, isObject } from "./json-input.ts";
import type { DecodeJson, JsonNodes, JsonState } from "./json-node.ts";

/**
 * Source text for reading one type from parsed JSON: a `switch` on the member's name loads the value by a constant key,
 * a second one on the field's index converts it. Only own members are looked at, so that a polluted prototype adds none.
 *
 * In the text: `j` the JSON object, `s` the state, `k` a member's name, `v` its value, `x` the field's index.
 */
export function generateJsonDecode(plan: MessagePlan, nodes: JsonNodes): DecodeJson {
  const unit = new SourceUnit();
  const { oneofs } = plan.desc;
  const byKey = fieldsByKey(plan);
  const hasTwoNames = (field: FieldPlan): boolean => field.jsonName !== field.protoName;
  unit.line("return function decode(j, s) {");
  unit.line(`${unit.ref(enter)}(s);`);
  unit.line(`if (typeof j !== "object" || j === null || Array.isArray(j)) ${unit.ref(refuse)}(${unit.ref(plan)}, j);`);
  unit.line("let v, x = 0, k, extra;");
  plan.fields.forEach((field, index) => {
    if (field.oneof === undefined) unit.line(`let f${index} = ${initialSource(unit, field)};`);
    if (hasTwoNames(field)) unit.line(`let seen${index} = false;`);
  });
  oneofs.forEach((_, index) => {
    unit.line(`let o${index}, set${index} = false;`);
  });
  unit.line("const keys = Object.keys(j); s.members += keys.length;");
  unit.line("try { for (let i = 0; i < keys.length; i++) { k = keys[i]; x = -1; switch (k) {");
  for (const [key, field] of byKey) {
    const value = key === "__proto__" ? `${unit.ref(ownValue)}(j, k)` : member("j", key);
    unit.line(`case ${literal(key)}: v = ${value}; x = ${plan.fields.indexOf(field)}; break;`);
  }
  unit.line("default: (extra ??= []).push(k); continue; }");
  unit.line("switch (x) {");
  plan.fields.forEach((field, index) => {
    unit.line(`case ${index}:`);
    if (hasTwoNames(field)) {
      unit.line(`if (seen${index}) throw ${unit.ref(twice)}(""); seen${index} = true;`);
    }
    unit.line(`${readSource(unit, field, index, plan, nodes)} break;`);
  });
  unit.line("} } }");
  unit.line(`catch (failure) { throw ${unit.ref(at)}(${unit.ref(nodes)}, ${unit.ref(plan)}, x, failure); }`);
  createSource(unit, plan);
  const unknown = `${unit.ref(readUnknownKey)}(extra[i], j[extra[i]], m, ${unit.ref(plan)}, s, ${unit.ref(nodes)})`;
  unit.line(`if (extra !== undefined) for (let i = 0; i < extra.length; i++) ${unknown};`);
  unit.line("s.depth--; return m; };");
  return unit.build() as DecodeJson;
}

function refuse(plan: MessagePlan, json: unknown): Local {
  if (isObject(json)) return json;
  throw new Failure("message.type", `expected an object for ${plan.typeName}, got ${describe(json)}`);
}

/** Puts the name of the field that was being read in front of a failure's path. */
function at(nodes: JsonNodes, plan: MessagePlan, index: number, failure: unknown): CodecError {
  const field = plan.fields[index];
  return field === undefined ? within("", failure) : within(nodes.nameOf(field), failure);
}

function readSource(unit: SourceUnit, field: FieldPlan, index: number, plan: MessagePlan, nodes: JsonNodes): string {
  const read = `${unit.ref(fieldValueReader(field, nodes), "read")}(v, s)`;
  if (field.oneof !== undefined) {
    const oneof = plan.desc.oneofs.indexOf(field.oneof);
    const once = `if (set${oneof}) throw ${unit.ref(conflict)}("", ${literal(field.oneof.name)}); set${oneof} = true;`;
    const store = `v = ${read}; if (v !== undefined) o${oneof} = { case: ${literal(field.localName)}, value: v };`;
    return field.kind === "scalar" ? `if (v !== null) { ${once} ${store} }` : `${once} ${store}`;
  }
  const target = `f${index}`;
  const general = `{ v = ${read}; if (v !== undefined) ${target} = v; }`;
  const test = field.kind === "scalar" ? usualValue(field) : undefined;
  if (field.kind === "message" && field.holding === "message") {
    const node: { decode: (json: unknown, state: JsonState) => Local } = nodes.get(field.message!); // a message field
    return `if (typeof v === "object" && v !== null) ${target} = ${unit.ref(node, "node")}.decode(v, s); else ${general}`;
  }
  return test === undefined ? general : `if (${test}) ${target} = v; else ${general}`;
}

/** The test for values that are taken over as they are. */
function usualValue(field: FieldPlan): string | undefined {
  switch (field.scalar) {
    case ScalarType.STRING:
      return `typeof v === "string" && v.isWellFormed()`;
    case ScalarType.BOOL:
      return "v === true || v === false";
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return `typeof v === "number" && (v | 0) === v`;
    case ScalarType.DOUBLE:
      return `typeof v === "number" && v - v === 0`;
    default:
      return undefined;
  }
}
