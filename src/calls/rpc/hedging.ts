import type { RpcError } from "../../errors/index.ts";
import type { Timer } from "../../platform/index.ts";
import type { Endpoint } from "../channel/index.ts";
import type { ClientCall } from "./client-call.ts";

/** What a hedge knows of the call that it was sent for. */
export interface HedgeLead {
  /** Where the attempt before is under way: another endpoint is better. */
  readonly endpoint: Endpoint | undefined;
  /** Attempts that were sent before. */
  readonly previousAttempts: number;
}

/** The further attempts of a slow call. Each is a call of its own, without retries. */
export class Hedging {
  /** Runs until the next hedge. */
  timer: Timer | undefined;
  /** Hedges that may still be sent. */
  left: number;
  sent = 0;
  /** What the call's own attempt failed with, while a hedge may still answer. */
  ownError: RpcError | undefined;
  readonly running = new Set<ClientCall>();

  constructor(hedges: number) {
    this.left = hedges;
  }
}
