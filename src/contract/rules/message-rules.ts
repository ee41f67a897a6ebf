import type { DescField, DescMessage, DescOneof } from "@bufbuild/protobuf";
import { fieldValue, type Local, planMessage } from "../codec/plan.ts";
import { type Check, inOrder, UncompiledRule } from "./check.ts";
import { type DeclaredRules, hasRules, type RulesReader } from "./declared-rules.ts";
import { fieldCheck, isSet } from "./field-rules.ts";

/** Message types that are compiled together: they may contain themselves and each other. */
export class MessageRules {
  readonly #reader: RulesReader;
  readonly #checks = new Map<DescMessage, Check>();

  constructor(reader: RulesReader) {
    this.#reader = reader;
  }

  /** @throws UncompiledRule when a rule in the message, or in those in it, is not compiled here */
  check(desc: DescMessage): Check | undefined {
    if (!hasRules(desc)) return undefined;
    const known = this.#checks.get(desc);
    if (known !== undefined) return known;
    let compiled: Check | undefined;
    const check: Check = (value, judgement) => compiled?.(value, judgement);
    this.#checks.set(desc, check);
    compiled = this.#compile(desc);
    return check;
  }

  #compile(desc: DescMessage): Check | undefined {
    const groups = groupsOf(desc, this.#reader.read(desc));
    const fields = planMessage(desc).fields;
    const plans = new Map(fields.map(plan => [plan.desc, plan]));
    const planOf = (field: DescField) => {
      const plan = plans.get(field);
      if (plan === undefined) throw new UncompiledRule(`${desc.typeName} has no field ${field.name}`);
      return plan;
    };
    const isSetIn = (message: unknown, field: DescField) => {
      const plan = planOf(field);
      return isSet(plan, fieldValue(message as Local, plan));
    };
    // In the order of declaration, in which protovalidate reports violations.
    return inOrder([
      ...desc.fields.map(field => {
        const isInGroup = groups.some(({ members }) => members.includes(field));
        return fieldCheck(planOf(field), this.#reader.read(field), isInGroup, message => this.check(message));
      }),
      ...groups.map(group => groupCheck(group, isSetIn)),
      ...desc.oneofs.map(oneof => oneofCheck(oneof, this.#reader.read(oneof))),
    ]);
  }
}

/** `buf.validate.message.oneof`: fields of which one may be set, or must be. */
interface Group {
  readonly members: readonly DescField[];
  readonly isRequired: boolean;
}

function groupsOf(desc: DescMessage, rules: DeclaredRules): readonly Group[] {
  for (const rule of rules.keys()) if (rule !== "oneof") throw new UncompiledRule(`message.${rule}`);
  const declared = (rules.get("oneof") ?? []) as readonly { fields: readonly string[]; required: boolean }[];
  return declared.map(({ fields, required }) => {
    const members = fields.map(name => desc.fields.find(field => field.name === name));
    const known = members.filter(member => member !== undefined);
    if (known.length === 0 || known.length < members.length || new Set(known).size < known.length) {
      throw new UncompiledRule(`message.oneof of ${fields.join(", ")}`);
    }
    return { members: known, isRequired: required };
  });
}

function groupCheck({ members, isRequired }: Group, isSetIn: (message: unknown, field: DescField) => boolean): Check {
  const names = members.map(({ name }) => name).join(", ");
  return (message, judgement) => {
    let count = 0;
    for (const member of members) if (isSetIn(message, member)) count++;
    if (count > 1) judgement.violated("message.oneof", `only one of ${names} can be set`);
    if (count === 0 && isRequired) judgement.violated("message.oneof", `one of ${names} must be set`);
  };
}

function oneofCheck(oneof: DescOneof, rules: DeclaredRules): Check | undefined {
  for (const rule of rules.keys()) if (rule !== "required") throw new UncompiledRule(`oneof.${rule}`);
  if (rules.get("required") !== true) return undefined;
  const members = new Set<unknown>(oneof.fields.map(({ localName }) => localName));
  return (message, judgement) => {
    const chosen = (message as Local)[oneof.localName] as { readonly case?: unknown } | undefined;
    if (members.has(chosen?.case)) return;
    judgement.enter(oneof);
    judgement.violated("required", "exactly one field is required in oneof");
    judgement.leave();
  };
}
