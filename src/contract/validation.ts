import { create, type DescField, type DescMessage, type DescOneof, type Message } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import type { Validator } from "@bufbuild/protovalidate";
import { ContractError } from "./contract-error.ts";

/** A rule of the contract that a message breaks. */
export interface RuleViolation {
  /** The field, for example `items[0].quantity`; `""` for a rule of the whole message. Spelled as the caller asks. */
  readonly field: (names: "json" | "proto") => string;
  readonly message: string;
  /** The rule, for example `int32.gt`. */
  readonly rule: string;
}

/** What a message breaks of its contract's `buf.validate` rules; empty when nothing. */
export type Validate = (message: object) => readonly RuleViolation[];

/** `buf.validate.field`, `.message` and `.oneof` have this number in the options of what they annotate. */
const rulesNumber = 1159;

/** Whether messages of a type, or messages in them, have `buf.validate` rules. */
export function hasRules(desc: DescMessage): boolean {
  return reaches(desc, new Set());
}

function reaches(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  const annotated = [desc.proto, ...desc.fields.map(({ proto }) => proto), ...desc.oneofs.map(({ proto }) => proto)];
  if (annotated.some(({ options }) => options?.$unknown?.some(({ no }) => no === rulesNumber))) return true;
  return desc.fields.some(field => {
    const inner = messageOf(field);
    return inner !== undefined && reaches(inner, seen);
  });
}

function messageOf(field: DescField): DescMessage | undefined {
  if (field.fieldKind === "message" || field.fieldKind === "list" || field.fieldKind === "map") return field.message;
  return undefined;
}

let loading: Promise<Validator> | undefined;

/**
 * The check of a message type, by protovalidate; `undefined` for a type without rules. The library is loaded when the first
 * type needs it: it takes longer than the rest of a start.
 */
export function validation(desc: DescMessage): Promise<Validate> | undefined {
  if (!hasRules(desc)) return undefined;
  loading ??= import("@bufbuild/protovalidate").then(({ createValidator }) => createValidator());
  return loading.then(validator => {
    // Compiles the rules, so that a mistake in them is found at the start.
    const { error } = validator.validate(desc, create(desc));
    if (error?.name === "CompilationError") {
      throw new ContractError(`${desc.file.name}.proto: ${desc.typeName}: buf.validate: ${error.message}`);
    }
    return message => check(validator, desc, message);
  });
}

function check(validator: Validator, desc: DescMessage, message: object): readonly RuleViolation[] {
  const result = validator.validate(desc, message as Message);
  switch (result.kind) {
    case "valid":
      return [];
    case "error":
      throw new Error(`the rules of ${desc.typeName} cannot be evaluated: ${result.error.message}`, {
        cause: result.error,
      });
    case "invalid":
      return result.violations.map(({ field, message, ruleId }) => ({
        field: names => pathText(field, names),
        message,
        rule: ruleId,
      }));
  }
}

function pathText(path: Path, names: "json" | "proto"): string {
  let text = "";
  for (const element of path) {
    switch (element.kind) {
      case "list_sub":
        text += `[${element.index}]`;
        break;
      case "map_sub":
        text += `[${JSON.stringify(typeof element.key === "bigint" ? String(element.key) : element.key)}]`;
        break;
      case "extension":
        text += `[${element.typeName}]`;
        break;
      default:
        text += `${text === "" ? "" : "."}${nameOf(element, names)}`;
    }
  }
  return text;
}

function nameOf(element: DescField | DescOneof, names: "json" | "proto"): string {
  return names === "json" && element.kind === "field" ? element.jsonName : element.name;
}
