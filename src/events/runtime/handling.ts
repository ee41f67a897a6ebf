import type { EventContract, Validate } from "../../contract/index.ts";
import type { BatchLimits, HandleBatch } from "../batch.ts";
import type { Middleware } from "../broker.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { EventHandler, Handle } from "../handler.ts";
import type { StoredRecord } from "../record.ts";
import type { ReplyContract } from "../requests/reply-contract.ts";
import { isReply, type Responder } from "../requests/responder.ts";
import type { HandlerDelivery } from "./delivery.ts";

/** How one type of event is handled: its contract, the rules, and the handler inside of the middleware. */
export interface Handling {
  readonly contract: EventContract;
  /** `undefined` for a contract without rules. */
  readonly validate: Validate | undefined;
  readonly invoke: (event: object, delivery: HandlerDelivery) => unknown;
  /** Of requests: what is owed to those who asked. */
  readonly answering?: Answering | undefined;
  /** Of a batch handler: how it takes several. `invoke` gives it one. */
  readonly batch: { readonly limits: BatchLimits; readonly handle: HandleBatch<object> } | undefined;
}

/** The consumer's half of replying; the handler's is in `invoke`. */
export interface Answering {
  /** Why a request must not be answered, and is not handled either. */
  refusal(request: StoredRecord): string | undefined;
  /** There will be no reply of the handler's. Never rejects. */
  giveUp(request: StoredRecord, reason: DeadLetterReason | "late", text: string | undefined): Promise<void>;
}

/** Puts middleware around a handler; the first is the outermost. Without any the handler is called as it is. */
export function handlingOf(
  { event, handle, batch, reply }: EventHandler,
  validate: Validate | undefined,
  middleware: readonly Middleware[],
  responder?: Responder,
): Handling {
  const handler = handle as Handle<object>;
  if (reply !== undefined && responder !== undefined) {
    const invoke = (message: object, delivery: HandlerDelivery) =>
      replying(reply, responder, middleware, handler, message, delivery);
    return { contract: event, validate, invoke, answering: responder, batch: undefined };
  }
  const together = batch && { limits: batch.limits, handle: batch.handle as HandleBatch<object> };
  if (middleware.length === 0) return { contract: event, validate, invoke: handler, batch: together };
  return {
    contract: event,
    validate,
    batch: together,
    invoke: (message, delivery) => through(middleware, 0, handler, message, delivery),
  };
}

/** Runs a handler and sends its reply when all middleware has ended well. */
async function replying(
  contract: ReplyContract,
  responder: Responder,
  middleware: readonly Middleware[],
  handler: Handle<object>,
  message: object,
  delivery: HandlerDelivery,
): Promise<void> {
  const request = delivery.raw;
  let reply: { readonly value: unknown } | undefined;
  try {
    const inner: Handle<object> = async (event, of) => {
      reply = { value: await handler(event, of) };
    };
    await through(middleware, 0, inner, message, delivery);
  } catch (error) {
    if (!isReply(error, request)) throw error;
    await responder.fail(request, error);
    return;
  }
  // Middleware that did not let the handler run has nothing to reply with either.
  if (reply === undefined || request.attributes.replyTo === undefined) return;
  const { value } = reply;
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `the handler returned ${value === null ? "null" : typeof value} instead of ${contract.typeName}`,
    );
  }
  await responder.reply(request, contract, value);
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
