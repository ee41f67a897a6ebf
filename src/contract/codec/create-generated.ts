import { literal, literalKey, member, type SourceUnit } from "./code-generation.ts";
import { type FieldPlan, type MessagePlan, setOwn } from "./plan.ts";

/** What a field's local variable holds before the field was seen. */
export function initialSource(unit: SourceUnit, field: FieldPlan): string {
  if (field.kind === "list") return "[]";
  if (field.kind === "map") return "{}";
  if (field.presence !== "implicit") return "undefined";
  const { zero } = field;
  if (typeof zero === "string") return literal(zero);
  if (typeof zero === "number" || typeof zero === "boolean") return Object.is(zero, -0) ? "-0" : String(zero);
  // bigints and the shared empty bytes
  return unit.ref(zero, "zero");
}

/**
 * Creates the message `m` from the variables `f0`, `f1`, … (by field number) and `o0`, … (oneofs), with properties in the order in which `create()` sets
 * them.
 */
export function createSource(unit: SourceUnit, plan: MessagePlan): void {
  const always: [name: string, value: string][] = [["$typeName", literal(plan.typeName)]];
  const later: [name: string, value: string][] = [];
  for (const described of plan.desc.members) {
    if (described.kind === "oneof") {
      const value = `o${plan.desc.oneofs.indexOf(described)}`;
      always.push([described.localName, `${value} === undefined ? { case: undefined } : ${value}`]);
      continue;
    }
    const index = plan.fields.findIndex(candidate => candidate.desc === described);
    (plan.fields[index]?.presence === "implicit" ? always : later).push([described.localName, `f${index}`]);
  }
  if (plan.prototype === undefined) {
    unit.line(`const m = { ${always.map(([name, value]) => `${literalKey(name)}: ${value}`).join(", ")} };`);
  } else {
    unit.line(`const m = new ${unit.ref(constructorOf(plan.prototype), "Message")}();`);
    for (const [name, value] of always) unit.line(assign(unit, name, value));
  }
  for (const [name, value] of later) unit.line(`if (${value} !== undefined) ${assign(unit, name, value)}`);
}

function assign(unit: SourceUnit, name: string, value: string): string {
  return name === "__proto__" ? `${unit.ref(setOwn)}(m, "__proto__", ${value});` : `${member("m", name)} = ${value};`;
}

/** A constructor whose instances have the given prototype: unlike `Object.create`, it yields one stable shape. */
function constructorOf(prototype: object): () => void {
  const construct = function (this: object): void {};
  construct.prototype = prototype;
  return construct;
}
