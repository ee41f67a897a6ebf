import { BadRequestSchema, RpcError } from "trunkline";
import type { CreateOrderRequest } from "./gen/order/order_pb.ts";
import { totalOf } from "./order-total.ts";

const itemsMax = 100;

interface Violation {
  /** Path of the field as the contract spells it. */
  readonly field: string;
  readonly description: string;
  /** The rule that was broken. */
  readonly reason: string;
}

/** @throws RpcError `invalid_argument` with every violation in its details */
export function checkCreateOrder({ customerId, items }: CreateOrderRequest): void {
  const violations: Violation[] = [];
  const check = (isValid: boolean, field: string, description: string, reason: string) => {
    if (!isValid) violations.push({ field, description, reason });
  };
  check(customerId !== "", "customer_id", "must not be empty", "string.min_len");
  check(items.length > 0, "items", "must hold at least one item", "repeated.min_items");
  check(items.length <= itemsMax, "items", `must hold at most ${itemsMax} items`, "repeated.max_items");
  // Of a list that is too long only the first items are judged, so that the answer stays small.
  for (const [index, { productId, quantity, price }] of items.slice(0, itemsMax).entries()) {
    const item = `items[${index}]`;
    check(productId !== "", `${item}.product_id`, "must not be empty", "string.min_len");
    check(quantity > 0, `${item}.quantity`, "must be greater than 0", "int32.gt");
    check(Number.isFinite(price), `${item}.price`, "must be finite", "double.finite");
    check(!(price < 0) || !Number.isFinite(price), `${item}.price`, "must not be negative", "double.gte");
  }
  if (violations.length === 0) {
    check(Number.isFinite(totalOf(items)), "items", "must have a total that is finite", "double.finite");
  }
  if (violations.length > 0) throw invalidArgument(violations);
}

/** An `invalid_argument` that lists what is wrong with which field. */
export function invalidArgument(violations: readonly Violation[]): RpcError {
  const text = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  return new RpcError("invalid_argument", text, { details: [[BadRequestSchema, { fieldViolations: violations }]] });
}
