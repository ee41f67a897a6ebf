import type { Random } from "../../platform/index.ts";
import { Balancer, type BalancerContext, type BalancerEndpoint, type BalancingOptions } from "../balancing/index.ts";
import type { Endpoint, EndpointView } from "./endpoint.ts";

/** What a picker may know of the call that it picks for. */
export interface PickedCall {
  /** The endpoint that failed this call before; better avoided. */
  readonly failedEndpoint?: Endpoint | undefined;
  /** Calls with equal keys go to the same endpoint, where the rule looks at it. */
  readonly hashKey?: string | undefined;
}

/**
 * How a call at an endpoint went. `unanswered`: nobody waits for it any more, its caller gave up or another attempt was
 * faster. `ignored` says nothing of the endpoint: the request was wrong, or the server goes away in good order.
 */
export type CallOutcome = "success" | "failure" | "unanswered" | "ignored";

/** Picks that may lead to an endpoint which cannot be reached before the list is gone through. */
const reachableTries = 3;

/**
 * Spreads the calls of a channel over its endpoints by a {@link Balancer}: the seam between resolving and connecting. Those
 * that cannot be reached at the moment are passed over while there are others.
 */
export class Picker {
  readonly #balancer: Balancer<Endpoint>;
  readonly #random: Random;
  #endpoints: readonly Endpoint[] = [];
  /** Used again for each pick. */
  readonly #hint: { avoid: BalancerEndpoint<Endpoint> | undefined; hashKey: string | undefined } = {
    avoid: undefined,
    hashKey: undefined,
  };

  /** @throws RangeError, TypeError naming the option that cannot be */
  constructor(options: BalancingOptions, context: BalancerContext) {
    this.#balancer = new Balancer(options, context);
    this.#random = context.random;
  }

  /** Half of the endpoints and more are not usable, so that all are used. */
  get isPanicking(): boolean {
    return this.#balancer.isPanicking;
  }

  /** The endpoints as they are from now on. Objects of endpoints that stay are the same. */
  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    const byKey = new Map(endpoints.map(endpoint => [endpoint.key, endpoint]));
    const addresses = endpoints.map(endpoint => ({
      key: endpoint.key,
      weight: endpoint.resolved.weight,
      zone: endpoint.resolved.zone,
      priority: endpoint.resolved.priority,
      isReady: endpoint.resolved.health === "ready",
      identity: endpoint,
    }));
    this.#balancer.update(addresses, key => byKey.get(key) as Endpoint); // keys of the list itself
    for (const endpoint of endpoints) endpoint.balanced = this.#balancer.get(endpoint.key);
  }

  /** The endpoint for a call; `undefined` when there are none. Hot path: no promise, no allocation. */
  pick(call: PickedCall | undefined, nowMs: number): Endpoint | undefined {
    const hint = this.#hint;
    hint.avoid = call?.failedEndpoint?.balanced;
    hint.hashKey = call?.hashKey;
    const picked = this.#balancer.pick(hint, nowMs);
    if (picked === undefined) return undefined;
    return picked.owned.pool.isBackingOff ? this.#reachable(picked, nowMs) : picked.owned;
  }

  /** A call goes to an endpoint; it is told how it went exactly once. */
  begun(endpoint: Endpoint): void {
    endpoint.balanced?.load.begun();
  }

  /**
   * A call that had begun has ended.
   * @param latencyMs from its beginning; `undefined`: it says nothing of the endpoint
   * @param pushbackMs how long the server asked to be left alone
   * @param cause one object for all calls that failed by one event, such as the loss of their connection
   */
  settled(
    endpoint: Endpoint,
    latencyMs: number | undefined,
    outcome: CallOutcome,
    nowMs: number,
    pushbackMs: number,
    cause: unknown,
  ): void {
    const { balanced } = endpoint;
    if (balanced === undefined) return;
    if (outcome === "success") {
      if (endpoint.wasRefused) this.#restarted(endpoint, balanced);
      this.#balancer.succeeded(balanced, latencyMs, nowMs);
    } else if (outcome === "failure") this.#balancer.failed(balanced, latencyMs ?? 0, pushbackMs, cause, nowMs);
    else if (outcome === "unanswered" && latencyMs !== undefined) balanced.load.unanswered(nowMs, latencyMs);
    else balanced.load.released();
  }

  /** What is known of an endpoint. */
  view(endpoint: Endpoint): Pick<EndpointView, "state" | "latencyMs"> {
    const { balanced } = endpoint;
    return balanced === undefined ? { state: "unused", latencyMs: undefined } : this.#balancer.view(balanced);
  }

  #restarted(endpoint: Endpoint, balanced: BalancerEndpoint<Endpoint>): void {
    endpoint.wasRefused = false;
    this.#balancer.restarted(balanced);
  }

  #reachable(unreachable: BalancerEndpoint<Endpoint>, nowMs: number): Endpoint {
    const hint = this.#hint;
    const { avoid } = hint;
    for (let tries = 0; tries < reachableTries; tries++) {
      hint.avoid = unreachable;
      const picked = this.#balancer.pick(hint, nowMs);
      if (picked !== undefined && picked !== avoid && !picked.owned.pool.isBackingOff) return picked.owned;
    }
    // From anywhere in the list, of the best priority: its first one must not get what all the others are lost for.
    const endpoints = this.#endpoints;
    const from = this.#random.below(endpoints.length);
    let found: Endpoint | undefined;
    for (let index = 0; index < endpoints.length; index++) {
      const endpoint = endpoints[(from + index) % endpoints.length] as Endpoint;
      if (endpoint.balanced === avoid || endpoint.pool.isBackingOff) continue;
      if (found === undefined || endpoint.resolved.priority < found.resolved.priority) found = endpoint;
    }
    return found ?? unreachable.owned;
  }
}
