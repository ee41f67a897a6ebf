import type { Endpoint } from "./endpoint.ts";

/** What a picker may know of the call that it picks for. */
export interface PickedCall {
  /** The endpoint that failed this call before; better avoided. */
  readonly failedEndpoint?: Endpoint | undefined;
}

/** How a call at an endpoint went. `ignored` says nothing of the endpoint: the caller gave up, the request was wrong. */
export type CallOutcome = "success" | "failure" | "ignored";

/** Spreads the calls of a channel over its endpoints: the seam between resolving and connecting. */
export interface Picker {
  /** The endpoints as they are from now on. Objects of endpoints that stay are the same. */
  update(endpoints: readonly Endpoint[]): void;
  /** The endpoint for a call; `undefined` when there are none. Hot path: no promise, no allocation. */
  pick(call?: PickedCall): Endpoint | undefined;
  /** A call that was sent has ended. Where it is absent, nobody takes the time of calls. */
  settled?(endpoint: Endpoint, latencyMs: number, outcome: CallOutcome): void;
}

/** Endpoints take turns; those that cannot be reached are passed over while there are others. */
export class RoundRobinPicker implements Picker {
  #endpoints: readonly Endpoint[] = [];
  #next: number;

  /** @param first where the turns begin; random, so that the clients of a service do not all begin at its first endpoint */
  constructor(first: number) {
    this.#next = first;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
  }

  pick(call?: PickedCall): Endpoint | undefined {
    const endpoints = this.#endpoints;
    const { length } = endpoints;
    const avoided = length > 1 ? call?.failedEndpoint : undefined;
    for (let tries = 0; tries < length; tries++) {
      this.#next = (this.#next + 1) % length;
      const endpoint = endpoints[this.#next];
      if (endpoint !== undefined && endpoint !== avoided && !endpoint.pool.isBackingOff) return endpoint;
    }
    return endpoints[this.#next % length];
  }
}
