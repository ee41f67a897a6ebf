import { type ClientConnection, ExchangeError } from "../../wire/index.ts";
import type { Channel } from "./channel.ts";
import type { Endpoint } from "./endpoint.ts";

/** A connection with the endpoint that it leads to. */
export interface Connected {
  readonly endpoint: Endpoint;
  readonly connection: ClientConnection;
}

/**
 * A connection to some endpoint of a channel: waits for the first resolution and for connections, and moves on to the next
 * endpoint when one cannot be reached. A request must begin in the turn in which this resolves: until then the pool gives the
 * connection to nobody else. One of `tryAcquire` would be anybody's while this function's promise is on its way.
 * @param picked the endpoint to begin with
 * @throws (rejects) ServiceDiscoveryError; ExchangeError of the last endpoint; the reason of the signal
 */
export async function connect(channel: Channel, signal: AbortSignal, picked?: Endpoint): Promise<Connected> {
  let endpoint = picked;
  if (endpoint === undefined) {
    await channel.resolved(signal);
    endpoint = channel.pick();
  }
  for (let unreached = 0; endpoint !== undefined; unreached++) {
    try {
      return { endpoint, connection: await endpoint.pool.acquire({ signal }) };
    } catch (error) {
      if (!(error instanceof ExchangeError)) throw error;
      // A pool that is closed belongs to an endpoint that has left the list meanwhile.
      const hasLeft = endpoint.pool.isClosed;
      if (error.reason === "connection") {
        channel.begun(endpoint);
        channel.settled(endpoint, 0, "failure", undefined, 0, error);
        channel.unreachable(endpoint, error);
      }
      if (unreached >= channel.size || !(hasLeft || error.reason === "connection")) throw error;
      const next = channel.pick({ failedEndpoint: endpoint });
      if (next === undefined || next === endpoint || next.pool.isBackingOff) throw error;
      endpoint = next;
    }
  }
  throw new ExchangeError("connection", `${channel.target} has no endpoints`, { unprocessed: true });
}
