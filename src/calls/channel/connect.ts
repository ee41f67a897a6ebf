import { type ClientConnection, ExchangeError } from "../../wire/index.ts";
import type { Channel } from "./channel.ts";
import type { Endpoint } from "./endpoint.ts";

/** A connection with the endpoint that it leads to. */
export interface Connected {
  readonly endpoint: Endpoint;
  readonly connection: ClientConnection;
}

/**
 * A connection to some endpoint of a channel: waits for the first resolution, and moves on to the next endpoint when one
 * cannot be reached. A request must begin before anything else is awaited.
 * @throws (rejects) ServiceDiscoveryError; ExchangeError of the last endpoint; the reason of the signal
 */
export async function connect(channel: Channel, signal: AbortSignal, failed?: Endpoint): Promise<Connected> {
  let endpoint = channel.pick({ failedEndpoint: failed });
  if (endpoint === undefined) {
    await unlessAborted(channel.resolved(), signal);
    endpoint = channel.pick();
  }
  for (let unreached = 0; endpoint !== undefined; unreached++) {
    try {
      const connection = endpoint.pool.tryAcquire() ?? (await endpoint.pool.acquire({ signal }));
      return { endpoint, connection };
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

function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}
