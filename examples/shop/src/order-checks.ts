import { BadRequestSchema, RpcError } from "trunkline";
import type { CreateOrderRequest } from "./gen/order/order_pb.ts";
import { totalOf } from "./order-total.ts";

interface Violation {
  /** Path of the field as the contract spells it. */
  readonly field: string;
  readonly description: string;
  /** The rule that was broken. */
  readonly reason: string;
}

/** What the contract's rules cannot say. @throws RpcError `invalid_argument` */
export function checkTotal({ items }: CreateOrderRequest): void {
  if (Number.isFinite(totalOf(items))) return;
  throw invalidArgument([{ field: "items", description: "must have a total that is finite", reason: "double.finite" }]);
}

/** An `invalid_argument` that lists what is wrong with which field. */
export function invalidArgument(violations: readonly Violation[]): RpcError {
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new RpcError("invalid_argument", text, { details: [[BadRequestSchema, { fieldViolations: violations }]] });
}
