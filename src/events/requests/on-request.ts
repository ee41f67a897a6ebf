import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileEvent } from "../../contract/index.ts";
import type { Delivery, EventHandler, Handle } from "../handler.ts";
import { replyContract } from "./reply-contract.ts";

/** Handles one request: what it returns, or resolves with, is the reply. */
export type HandleRequest<Q, A> = (request: Q, delivery: Delivery) => A | Promise<A>;

/**
 * A handler that replies. It belongs into `subscribe`, like those made by `on`, and fails like those: what it throws is tried
 * again, but not beyond the time that the requester gave; then, and when it is given up, the requester gets `internal`, which
 * says nothing of the cause. An `RpcError` is no failure but a reply: the requester gets its code, message and details.
 *
 * ```ts
 * onRequest(QuoteSchema, PriceSchema, async ({ productId }) => ({ total: await priceOf(productId) }))
 * ```
 * A request that nobody awaits the reply of (a plain publish) is handled all the same.
 *
 * @param reply any message; it needs no `event` option, because it goes to nobody but the requester
 * @throws ContractError when the request is no event
 */
export function onRequest<Q extends DescMessage, A extends DescMessage>(
  request: Q,
  reply: A,
  handle: HandleRequest<MessageShape<Q>, MessageInitShape<A>>,
): EventHandler {
  return { event: compileEvent(request), handle: handle as Handle<never>, reply: replyContract(reply) };
}
