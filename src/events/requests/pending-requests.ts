import { type Clock, outsideContext, type Timer } from "../../platform/index.ts";

/** Learns how a request ended: by its reply, or by anything else. Called once, outside of any context but its own. */
export interface PendingRequest<Reply> {
  replied(reply: Reply): void;
  /** Its time is over. */
  timedOut(): void;
  /** Somebody has ended all that wait. */
  ended(error: Error): void;
}

interface Waiting<Reply> {
  readonly request: PendingRequest<Reply>;
  readonly timer: Timer;
}

/**
 * Requests by their correlation id, from the moment they are asked until they have ended: by a reply, by their time, by
 * whoever has given them up, or all together. Each ends once, and what comes for one that has ended finds nobody.
 */
export class PendingRequests<Reply> {
  readonly max: number;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting<Reply>>();

  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.max = max;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.max;
  }

  /** @throws Error when it is full, or the id is taken: callers look before, and make ids that nobody has */
  add(id: string, timeoutMs: number, request: PendingRequest<Reply>): void {
    if (this.isFull || this.#waiting.has(id)) throw new Error(`the request ${id} cannot wait`);
    // The time of a request is kept for it whatever becomes of the work that asked; a program waits for its answers.
    const timer = outsideContext(() =>
      this.#clock.after(
        timeoutMs,
        () => {
          this.#waiting.delete(id);
          request.timedOut();
        },
        true,
      ),
    );
    this.#waiting.set(id, { request, timer });
  }

  /** @returns whether somebody waited for it */
  reply(id: string, reply: Reply): boolean {
    const waiting = this.#take(id);
    waiting?.request.replied(reply);
    return waiting !== undefined;
  }

  /** Nobody waits for the reply any more. @returns whether somebody did until now */
  remove(id: string): boolean {
    return this.#take(id) !== undefined;
  }

  endAll(error: Error): void {
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.request.ended(error);
  }

  #take(id: string): Waiting<Reply> | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    waiting.timer.cancel();
    return waiting;
  }
}
