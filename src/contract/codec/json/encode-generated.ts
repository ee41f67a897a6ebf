import { ScalarType } from "@bufbuild/protobuf";
import { literal, member, SourceUnit } from "../code-generation.ts";
import { subscript, within } from "../codec-error.ts";
import type { FieldPlan, MessagePlan } from "../plan.ts";
import { checkType } from "../presence.ts";
import { enumNames } from "./dialect.ts";
import { fieldText, withExtensions } from "./encode-closures.ts";
import type { EncodeJson, JsonNodes } from "./json-node.ts";
import { isPlain } from "./scalar-text.ts";

/**
 * Source text for the JSON of one type: the text grows by constant pieces `,"name":` and values. A value that is not of
 * the usual kind, and every uncommon kind of field, goes to the field's closure.
 *
 * In the text: `m` message, `s` the JSON so far, `n` how many members it has, `v` a field's value.
 */
export function generateJsonEncode(plan: MessagePlan, nodes: JsonNodes): EncodeJson {
  const unit = new SourceUnit();
  unit.line("return function encode(m) {");
  unit.line("const type = m.$typeName;");
  if (plan.fields.length > 0) {
    unit.line(
      `if (type !== ${literal(plan.typeName)} && type !== undefined) ${unit.ref(checkType)}(${unit.ref(plan)}, m);`,
    );
  }
  unit.line(`let s = "", n = 0, v, x, i = 0;`);
  for (const field of plan.fields) {
    const closure = `x = ${unit.ref(fieldText(field, nodes))}(m); if (x !== "") s += (n++ === 0 ? "{" : ",") + x;`;
    const inline = inlineSource(unit, field, nodes);
    if (inline === undefined) {
      unit.line(closure);
    } else {
      unit.line(`v = ${member("m", field.localName)};`);
      unit.line(`if (${inline.test}) { ${inline.body} } else { ${closure} }`);
    }
  }
  if (nodes.options.registry !== undefined) {
    const extend = `${unit.ref(withExtensions)}(s.slice(1), m, ${unit.ref(plan)}, ${unit.ref(nodes)})`;
    unit.line(`if (m.$unknown !== undefined) return "{" + ${extend} + "}";`);
  }
  unit.line(`return n === 0 ? "{}" : s + "}"; };`);
  return unit.build() as EncodeJson;
}

interface Inline {
  /** The kind of value for which the body is right. */
  readonly test: string;
  readonly body: string;
}

function inlineSource(unit: SourceUnit, field: FieldPlan, nodes: JsonNodes): Inline | undefined {
  if (field.oneof !== undefined || field.ownOnly || field.kind === "map") return undefined;
  const skipsZero = field.presence === "implicit" && !nodes.options.dialect.emitDefaultValues;
  const piece = (open: string): string => {
    const name = `${JSON.stringify(nodes.nameOf(field))}:${open}`;
    return `(n++ === 0 ? ${literal(`{${name}`)} : ${literal(`,${name}`)})`;
  };
  const key = piece("");
  const put = (text: string, isSet: string): string => (skipsZero ? `if (${isSet}) ` : "") + `s += ${key} + ${text};`;
  if (field.message !== undefined) return messageSource(unit, field, nodes, key, skipsZero);
  if (field.kind === "list") return undefined;
  if (field.desc.enum !== undefined) {
    if (field.desc.enum.typeName === "google.protobuf.NullValue") return undefined;
    const names = unit.ref(enumNames(field.desc.enum, nodes.options.dialect.enumValues).textOf, "names");
    const body = `x = ${names}.get(v); ${put("(x === undefined ? v : x)", `v !== ${Number(field.zero)}`)}`;
    return { test: `typeof v === "number" && (v | 0) === v`, body };
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return {
        test: `typeof v === "string"`,
        body: `${skipsZero ? `if (v !== "")` : ""} { if (${unit.ref(isPlain)}(v)) s += ${piece('"')} + v + '"'; else s += ${key} + JSON.stringify(v); }`,
      };
    case ScalarType.BOOL:
      return { test: "v === true || v === false", body: put(`(v ? "true" : "false")`, "v") };
    case ScalarType.INT32:
      return { test: `typeof v === "number" && (v | 0) === v`, body: put("v", "v !== 0") };
    case ScalarType.DOUBLE:
      return { test: `typeof v === "number" && v - v === 0`, body: put("v", "v !== 0 || 1 / v < 0") };
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return {
        test: `typeof v === "bigint"`,
        body: `${skipsZero ? "if (v !== 0n)" : ""} s += ${piece('"')} + v + '"';`,
      };
    default:
      return undefined;
  }
}

function messageSource(
  unit: SourceUnit,
  field: FieldPlan,
  nodes: JsonNodes,
  key: string,
  skipsZero: boolean,
): Inline | undefined {
  if (field.holding !== "message") return undefined;
  const node = unit.ref(nodes.get(field.message!), "node"); // only called for message fields
  const wrap = unit.ref(within);
  const name = literal(nodes.nameOf(field));
  if (field.kind !== "list") {
    return {
      test: `typeof v === "object" && v !== null`,
      body: `try { s += ${key} + ${node}.encode(v); } catch (failure) { throw ${wrap}(${name}, failure); }`,
    };
  }
  const items = [
    `s += ${key} + "["; i = 0;`,
    `try { for (; i < v.length; i++) s += i === 0 ? ${node}.encode(v[i]) : "," + ${node}.encode(v[i]); }`,
    `catch (failure) { throw ${wrap}(${name} + ${unit.ref(subscript)}(i), failure); }`,
    `s += "]";`,
  ].join(" ");
  return { test: "Array.isArray(v)", body: skipsZero ? `if (v.length > 0) { ${items} }` : items };
}
