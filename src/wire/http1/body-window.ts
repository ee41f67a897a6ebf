import type { IncomingBody } from "./incoming-body.ts";
import type { Http1Limits } from "./limits.ts";
import type { Watchdog } from "./watchdog.ts";

/**
 * The minimum rate of a body. Time is cut into windows; in one that began with bytes owed, enough of them must come.
 * Between two chunks of a chunked body nothing is owed: a stream may be quiet, but not longer than an idle connection.
 */
export class BodyWindow {
  readonly #limits: Http1Limits;
  readonly #watchdog: Watchdog;
  #receivedBytes = 0;
  #wasOwed = false;
  #quietMs = 0;

  constructor(limits: Http1Limits, watchdog: Watchdog) {
    this.#limits = limits;
    this.#watchdog = watchdog;
  }

  open(body: IncomingBody): void {
    this.#wasOwed = body.promisedBytes > 0;
    this.#receivedBytes = 0;
    this.#watchdog.set(this.#limits.bodyWindowMs);
  }

  received(bytes: number): void {
    this.#receivedBytes += bytes;
    this.#quietMs = 0;
  }

  /** Judges the window that is over. */
  isGoodEnough(body: IncomingBody): boolean {
    if (this.#receivedBytes >= this.#limits.bodyWindowBytesMin) return true;
    if (this.#wasOwed && body.promisedBytes > 0) return false;
    if (this.#receivedBytes > 0) return true;
    this.#quietMs += this.#limits.bodyWindowMs;
    return this.#quietMs < this.#limits.idleMs;
  }
}
