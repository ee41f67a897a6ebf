/**
 * Request/reply over a broker. A request is an event that names where its reply is awaited, under which id and until when.
 * May import the files of `events` and `runtime/read-record.ts`; drivers have their half behind `ReplyPort` of `driver.ts`.
 *
 * Start at `on-request.ts`, what a user writes who replies, and `requester.ts`, what happens when somebody asks;
 * `responder.ts` sends replies and `reply-error.ts` says what errors look like on the wire.
 */
export { type HandleRequest, onRequest } from "./on-request.ts";
export type { ReplyContract } from "./reply-contract.ts";
export { Requester } from "./requester.ts";
export { isReply, Responder } from "./responder.ts";
