import type { EndpointLoad } from "./endpoint-load.ts";
import type { Outlier } from "./outlier.ts";
import type { BalancedEndpoint } from "./pickers/index.ts";

/** One address as a resolver gives it. */
export interface BalancedAddress {
  readonly key: string;
  /** @default 1 */
  readonly weight?: number | undefined;
  readonly zone?: string | undefined;
  /** Those of a worse one, a higher number, take calls only when none of a better one works. @default 0 */
  readonly priority?: number | undefined;
  /** @default true */
  readonly isReady?: boolean | undefined;
  /** Who answers there: with another identity an address that stays is another endpoint, of which nothing is known. */
  readonly identity?: unknown;
}

/** An endpoint in a balancer, with what is known of it and what the owner keeps beside it. */
export class BalancerEndpoint<T> implements BalancedEndpoint {
  readonly key: string;
  readonly load: EndpointLoad;
  readonly outlier: Outlier;
  /** The owner's: the connection pool of the address. */
  readonly owned: T;
  readonly identity: unknown;
  weight = 1;
  zone: string | undefined;
  priority = 0;
  isReady = true;

  constructor(key: string, load: EndpointLoad, outlier: Outlier, owned: T, identity?: unknown) {
    this.key = key;
    this.load = load;
    this.outlier = outlier;
    this.owned = owned;
    this.identity = identity;
  }
}

/**
 * Whether an endpoint gets calls. `penalised`: it failed, and gets one a second; `ejected`: none for a while; `unused`: it
 * is outside of this client's subset; `standby`: those of a better priority work; `not_ready`: its registry says so.
 */
export type EndpointState = "ready" | "penalised" | "ejected" | "not_ready" | "standby" | "unused";

/** What balancing knows of one endpoint. */
export interface EndpointView {
  readonly address: string;
  readonly weight: number;
  readonly zone: string | undefined;
  readonly priority: number;
  readonly state: EndpointState;
  /** Calls under way. */
  readonly pending: number;
  /** Moving average of its latency in milliseconds; `undefined`: nothing is known. */
  readonly latencyMs: number | undefined;
}
