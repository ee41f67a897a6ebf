import { BadRequestSchema } from "../../contract/gen/google/rpc/error_details_pb.ts";
import type { RuleViolation } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";

/** What an answer lists: more would make a small request cost a large answer. */
const listedMax = 100;

/** A request that breaks the rules of its contract. On the wire the violations travel as `google.rpc.BadRequest`. */
export class InvalidRequestError extends RpcError {
  /** The first hundred. */
  readonly ruleViolations: readonly RuleViolation[];

  constructor(violations: readonly RuleViolation[]) {
    const listed = violations.slice(0, listedMax);
    const fieldViolations = listed.map(({ field, message, rule }) => ({
      field: field("proto"),
      description: message,
      reason: rule,
    }));
    const text = fieldViolations.map(({ field, description }) =>
      field === "" ? description : `${field}: ${description}`,
    );
    super("invalid_argument", text.slice(0, 3).join("; ") + (text.length > 3 ? `; and ${text.length - 3} more` : ""), {
      details: [[BadRequestSchema, { fieldViolations }]],
    });
    this.ruleViolations = listed;
  }
}
