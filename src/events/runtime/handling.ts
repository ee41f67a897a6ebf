import type { EventContract, Validate } from "../../contract/index.ts";
import type { BatchLimits, HandleBatch } from "../batch.ts";
import type { Middleware } from "../broker.ts";
import type { EventHandler, Handle } from "../handler.ts";
import type { HandlerDelivery } from "./delivery.ts";

/** How one type of event is handled: its contract, the rules, and the handler inside of the middleware. */
export interface Handling {
  readonly contract: EventContract;
  /** `undefined` for a contract without rules. */
  readonly validate: Validate | undefined;
  readonly invoke: (event: object, delivery: HandlerDelivery) => unknown;
  /** Of a batch handler: how it takes several. `invoke` gives it one. */
  readonly batch: { readonly limits: BatchLimits; readonly handle: HandleBatch<object> } | undefined;
}

/** Puts middleware around a handler; the first is the outermost. Without any the handler is called as it is. */
export function handlingOf(
  { event, handle, batch }: EventHandler,
  validate: Validate | undefined,
  middleware: readonly Middleware[],
): Handling {
  const handler = handle as Handle<object>;
  const together = batch && { limits: batch.limits, handle: batch.handle as HandleBatch<object> };
  if (middleware.length === 0) return { contract: event, validate, invoke: handler, batch: together };
  return {
    contract: event,
    validate,
    batch: together,
    invoke: (message, delivery) => through(middleware, 0, handler, message, delivery),
  };
}

async function through(
  middleware: readonly Middleware[],
  index: number,
  handler: Handle<object>,
  event: object,
  delivery: HandlerDelivery,
): Promise<void> {
  const outer = middleware[index];
  if (outer === undefined) {
    await handler(event, delivery);
    return;
  }
  await outer(event, delivery, () => through(middleware, index + 1, handler, event, delivery));
}
