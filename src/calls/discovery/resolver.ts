import type { ServiceDiscoveryError } from "./service-discovery-error.ts";

/** Where one instance of a service listens, as its resolver knows it. */
export interface ResolvedEndpoint {
  /** An IP address, or a name that the system looks up when it connects. */
  readonly address: string;
  readonly port: number;
  /** Share of the calls beside those of the other endpoints, > 0. @default 1 */
  readonly weight: number;
  /** Those with a higher number take calls only while none with a lower one works (RFC 2782). @default 0 */
  readonly priority: number;
  /** Where it runs, for example `eu-central-1a`. */
  readonly zone: string | undefined;
  /** `terminating`: still serves, but is about to leave; resolvers show it only while there is nothing better. */
  readonly health: "ready" | "terminating";
  /** The name that the address was found by, where it is not the target's. */
  readonly hostname: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a resolver's owner is told; never within `close`. */
export interface ResolverListener {
  /**
   * The endpoints as they are now: without duplicates, in a stable order. Empty only where the source says with authority
   * that there are none. `isStale`: the source has not answered for a while, and these are the last that are known.
   */
  endpoints(endpoints: readonly ResolvedEndpoint[], state: { readonly isStale: boolean }): void;
  /** No endpoints are known, and there is a reason. The resolver goes on trying. */
  failed(error: ServiceDiscoveryError): void;
}

/** Follows the endpoints of one target until it is closed. */
export interface Resolver {
  /** Begins; called once. What is known without waiting comes before this returns. */
  start(listener: ResolverListener): void;
  /**
   * A hint, after a failed connection: the list may be out of date. Resolutions begin at least a second apart. Answers
   * whether one is under way now.
   */
  resolveNow(): boolean;
  close(): void;
}

const noMetadata = Object.freeze({});

/** An endpoint with the defaults of everything but its address. */
export function resolvedEndpoint(
  address: string,
  port: number,
  rest: Partial<Omit<ResolvedEndpoint, "address" | "port">> = {},
): ResolvedEndpoint {
  const { weight = 1, priority = 0, zone, health = "ready", hostname, metadata = noMetadata } = rest;
  return { address, port, weight, priority, zone, health, hostname, metadata };
}
