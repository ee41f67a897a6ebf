import type { ConnectionPool, HeaderField } from "../../wire/index.ts";
import type { BalancerEndpoint, EndpointState } from "../balancing/index.ts";
import type { ResolvedEndpoint } from "../discovery/index.ts";

/**
 * One instance of a target with its connections. The object is the same for as long as the instance stays in the list, so
 * that what is known of it can be kept by it.
 */
export interface Endpoint {
  /** `address:port`. */
  readonly key: string;
  readonly authority: HeaderField;
  readonly pool: ConnectionPool;
  /** What the resolver says of it now: weight, zone, health. */
  readonly resolved: ResolvedEndpoint;
  /** A slot for the picker: what balancing knows of the endpoint. */
  balanced: BalancerEndpoint<Endpoint> | undefined;
  /** The last connection was refused: whoever answers next is another process. */
  wasRefused: boolean;
}

/** What `channel.endpoints()` shows of one. */
export interface EndpointView {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** Those with a higher number take calls only while none with a lower one works. */
  readonly priority: number;
  readonly zone: string | undefined;
  readonly health: "ready" | "terminating";
  readonly metadata: Readonly<Record<string, string>>;
  /** The source has not answered for a while; this is the last that is known. */
  readonly isStale: boolean;
  /** Open connections. */
  readonly connections: number;
  /** Requests under way. */
  readonly activeCalls: number;
  /** The last connection attempt failed, and the next one waits. */
  readonly isBackingOff: boolean;
  /** Whether it gets calls. */
  readonly state: EndpointState;
  /** Moving average of its latency in milliseconds; `undefined`: nothing is known. */
  readonly latencyMs: number | undefined;
}
