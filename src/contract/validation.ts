import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import { ContractError } from "./contract-error.ts";
import { compiledRules, hasRules, pathText, type RuleViolation } from "./rules/index.ts";

/** What a message breaks of its contract's `buf.validate` rules; empty when nothing. */
export type Validate = (message: object) => readonly RuleViolation[];

let loading: Promise<Validator> | undefined;

/**
 * The check of a message type; `undefined` for a type without rules. Standard rules are compiled here; where a message has
 * others (CEL expressions, and what `rules/` leaves out), protovalidate judges it. That is loaded when the first type needs
 * it: it takes longer than the rest of a start.
 */
export function validation(desc: DescMessage): Promise<Validate> | undefined {
  if (!hasRules(desc)) return undefined;
  const compiled = compiledRules(desc);
  return compiled === undefined ? byProtovalidate(desc) : Promise.resolve(compiled);
}

/** The check of a message type by protovalidate, whatever its rules are. */
export async function byProtovalidate(desc: DescMessage): Promise<Validate> {
  loading ??= import("@bufbuild/protovalidate").then(({ createValidator }) => createValidator());
  const validator = await loading;
  // Compiles the rules, so that a mistake in them is found at the start.
  const { error } = validator.validate(desc, create(desc));
  if (error?.name === "CompilationError") {
    throw new ContractError(`${desc.file.name}.proto: ${desc.typeName}: buf.validate: ${error.message}`);
  }
  return message => check(validator, desc, message);
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
