import { systemPlatform } from "trunkline";
import { discover } from "trunkline/discovery";

const { clock } = systemPlatform;

/** Above this many reads under way the next one waits, and its time counts from when it was due. */
const inFlightMax = 400;
/** A read that has no answer by then has failed. */
const readTimeoutMs = 5_000;
const tickMs = 5;

/** How one read went. */
export interface Read {
  /** When it was due. */
  readonly atMs: number;
  /** From when it was due until its whole answer was there. */
  readonly latencyMs: number;
  /** `whole`: 200 with the customer; `degraded`: 200 with `x-degraded`; `failed`: anything else. */
  readonly outcome: "whole" | "degraded" | "failed";
}

/**
 * Reads an order at a steady rate until it is stopped, whatever becomes of the answers: a generator that waited for slow answers
 * would measure its own patience.
 */
export class Load {
  readonly reads: Read[] = [];
  readonly #service: ReturnType<typeof discover>;
  readonly #everyMs: number;
  #dueMs = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  #idle: (() => void) | undefined;

  constructor(address: string, perSecond: number) {
    this.#service = discover(address, { timeoutMs: readTimeoutMs });
    this.#everyMs = 1_000 / perSecond;
  }

  start(): void {
    this.#dueMs = clock.now();
    this.#tick();
  }

  /** No further reads; resolves when the last one is over. */
  async stop(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    if (this.#inFlight > 0) {
      await new Promise<void>(resolve => {
        this.#idle = resolve;
      });
    }
    this.#service.close();
  }

  /** One read, beside the steady ones. */
  async readOnce(): Promise<Read["outcome"]> {
    try {
      const answer = await this.#service.fetch("/api/orders/123");
      const order: unknown = await answer.json();
      if (answer.status !== 200) return "failed";
      if (answer.headers.get("x-degraded") !== null) return "degraded";
      // What calls itself whole must have its customer.
      return typeof order === "object" && order !== null && "customer" in order ? "whole" : "failed";
    } catch {
      return "failed";
    }
  }

  #tick(): void {
    const nowMs = clock.now();
    for (; this.#dueMs <= nowMs && this.#inFlight < inFlightMax; this.#dueMs += this.#everyMs)
      void this.#read(this.#dueMs);
    if (this.#dueMs !== Number.POSITIVE_INFINITY) clock.after(tickMs, () => this.#tick(), true);
  }

  async #read(atMs: number): Promise<void> {
    this.#inFlight++;
    const outcome = await this.readOnce();
    this.reads.push({ atMs, latencyMs: clock.now() - atMs, outcome });
    if (--this.#inFlight === 0) this.#idle?.();
  }
}
