import { RpcError } from "../errors/index.ts";

/** Work took too long. Its code is `deadline_exceeded`. */
export class TimeoutError extends RpcError {
  /** Whether one attempt was too slow, so that the call may have time for another, or the call as a whole. */
  readonly scope: "attempt" | "call";

  constructor(scope: "attempt" | "call", message: string) {
    super("deadline_exceeded", message);
    this.scope = scope;
  }
}
Object.defineProperty(TimeoutError.prototype, "name", { value: "TimeoutError", configurable: true, writable: true });
