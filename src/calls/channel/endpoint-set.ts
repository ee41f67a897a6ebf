import type { ConnectionPool } from "../../wire/index.ts";
import { HeaderField } from "../../wire/index.ts";
import { endpointKey, type ParsedTarget, type ResolvedEndpoint } from "../discovery/index.ts";
import type { Endpoint, EndpointView } from "./endpoint.ts";

/** Makes the pool of an address. `serverName`: what its certificate must be for. */
export type OpenPool = (address: string, port: number, serverName: string) => ConnectionPool;

class SetEndpoint implements Endpoint {
  readonly key: string;
  readonly authority: HeaderField;
  readonly pool: ConnectionPool;
  resolved: ResolvedEndpoint;
  balanced: Endpoint["balanced"] = undefined;
  wasRefused = false;

  constructor(key: string, authority: HeaderField, pool: ConnectionPool, resolved: ResolvedEndpoint) {
    this.key = key;
    this.authority = authority;
    this.pool = pool;
    this.resolved = resolved;
  }
}

/** The endpoints of a channel with their pools. Those that leave the list finish their calls and are closed then. */
export class EndpointSet {
  readonly #target: ParsedTarget;
  readonly #openPool: OpenPool;
  #byKey = new Map<string, SetEndpoint>();
  /** Pools of endpoints that have left the list, until their last call has ended. */
  readonly #leaving = new Set<ConnectionPool>();
  #isStale = false;

  constructor(target: ParsedTarget, openPool: OpenPool) {
    this.#target = target;
    this.#openPool = openPool;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Takes a list. Answers the endpoints in its order. */
  update(list: readonly ResolvedEndpoint[], isStale: boolean): readonly Endpoint[] {
    this.#isStale = isStale;
    const before = this.#byKey;
    this.#byKey = new Map();
    for (const resolved of list) {
      const key = endpointKey(resolved);
      const known = before.get(key);
      if (known !== undefined && isSameInstance(known.resolved, resolved)) {
        known.resolved = resolved;
        before.delete(key);
        this.#byKey.set(key, known);
      } else {
        this.#byKey.set(key, this.#open(key, resolved));
      }
    }
    for (const { pool } of before.values()) this.#leave(pool);
    return [...this.#byKey.values()];
  }

  /** @param balanceOf what balancing knows of an endpoint */
  views(balanceOf: (endpoint: Endpoint) => Pick<EndpointView, "state" | "latencyMs">): readonly EndpointView[] {
    return Array.from(this.#byKey.values(), endpoint => this.#view(endpoint, balanceOf(endpoint)));
  }

  #view({ pool, resolved }: Endpoint, balance: Pick<EndpointView, "state" | "latencyMs">): EndpointView {
    return {
      address: resolved.address,
      port: resolved.port,
      weight: resolved.weight,
      priority: resolved.priority,
      zone: resolved.zone,
      health: resolved.health,
      metadata: resolved.metadata,
      isStale: this.#isStale,
      connections: pool.connections,
      activeCalls: pool.activeExchanges,
      isBackingOff: pool.isBackingOff,
      state: balance.state,
      latencyMs: balance.latencyMs,
    };
  }

  async drain(): Promise<void> {
    await Promise.all(this.#allPools().map(pool => pool.drain()));
  }

  destroy(): void {
    for (const pool of this.#allPools()) pool.destroy();
  }

  #allPools(): readonly ConnectionPool[] {
    return [...this.#leaving, ...Array.from(this.#byKey.values(), ({ pool }) => pool)];
  }

  #open(key: string, resolved: ResolvedEndpoint): SetEndpoint {
    const { authority } = this.#target;
    const host = authority?.host ?? resolved.hostname ?? resolved.address;
    const port = authority?.port ?? resolved.port;
    const field = new HeaderField(":authority", endpointKey({ address: host, port }));
    return new SetEndpoint(key, field, this.#openPool(resolved.address, resolved.port, host), resolved);
  }

  #leave(pool: ConnectionPool): void {
    this.#leaving.add(pool);
    void pool.drain().finally(() => this.#leaving.delete(pool));
  }
}

/** Kubernetes gives an address to another pod: that is another server, of which nothing is known. */
function isSameInstance(a: ResolvedEndpoint, b: ResolvedEndpoint): boolean {
  return a.metadata.uid === b.metadata.uid && a.hostname === b.hostname;
}
