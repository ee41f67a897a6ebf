import type { Method, Validate } from "../../contract/index.ts";
import type { ServerCall } from "./server-call.ts";
import type { MethodGate } from "./server-overload.ts";

/** What an implementation gives for one method: `request` is a message, or an async iterable of them. */
export type AnyHandler = (request: never, call: ServerCall) => unknown;

/** A method with the function that serves it. */
export interface ServedMethod {
  readonly method: Method;
  readonly handler: AnyHandler;
  /** The rules of the contract that every request message must keep; `undefined`: there are none. */
  readonly validate?: Validate | undefined;
  /** Who is let in while there is too much to do; `undefined`: everybody. */
  readonly gate?: MethodGate | undefined;
}
