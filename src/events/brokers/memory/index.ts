/**
 * The memory broker: topics with partitions, groups, retries and dead letters, all gone with the process. For tests and for
 * systems of one process. Imports only the port and `log`. Start at `memory-log.ts`.
 */
import { outsideContext, type Platform } from "../../../platform/index.ts";
import type { BrokerDriver, DriverContext } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import { LogDriver } from "../../log/index.ts";
import {
  memoryBodyBytesMax,
  memoryBytesMax,
  memoryCommitEveryMs,
  memoryPartitions,
  memoryPartitionsMax,
} from "./limits.ts";
import { MemoryLog, type MemoryLogOptions } from "./memory-log.ts";
import { MemoryStore } from "./memory-store.ts";

interface Shared {
  readonly log: MemoryLog;
  connections: number;
}

/** Named brokers, by the platform whose clock they run on; each is there while somebody is connected. */
const named = new WeakMap<Platform, Map<string, Shared>>();

/**
 * `memory:` is a broker of its own, `memory:shop` one that all connections of this name share, while there are any. Options
 * in the query: `partitions` of topics (8), `bytesMax` of everything (268435456); of the first connection for shared ones.
 *
 * @throws BrokerError for a URL that means something else
 */
export async function connectMemory(url: string, context: DriverContext): Promise<BrokerDriver> {
  const { name, options } = parse(url);
  const brokers = named.get(context.platform) ?? new Map<string, Shared>();
  named.set(context.platform, brokers);
  const shared = brokers.get(name) ?? {
    log: outsideContext(() => new MemoryLog(options, context.platform)),
    connections: 0,
  };
  shared.connections++;
  if (name !== "") brokers.set(name, shared);
  const store = new MemoryStore(shared.log, context, () => {
    if (--shared.connections > 0) return;
    shared.log.end();
    if (brokers.get(name) === shared) brokers.delete(name);
  });
  const pace = {
    clock: context.platform.clock,
    commitEveryMs: memoryCommitEveryMs,
    heartbeatMs: Number.POSITIVE_INFINITY,
    tracksCrashes: false,
  };
  return new LogDriver("memory", store, pace, memoryBodyBytesMax, context);
}

function parse(url: string): { name: string; options: MemoryLogOptions } {
  const found = /^memory:([A-Za-z0-9._-]{0,200})(?:\?(.*))?$/.exec(url);
  if (found === null) {
    throw new BrokerError(
      `broker ${JSON.stringify(url)}: memory: may be followed by a name of letters, digits, ".", "_" and "-", as in memory:shop`,
    );
  }
  let partitions = memoryPartitions;
  let bytesMax = memoryBytesMax;
  for (const [option, value] of new URLSearchParams(found[2] ?? "")) {
    const number = /^[0-9]{1,12}$/.test(value) ? Number(value) : 0;
    if (option === "partitions" && number >= 1 && number <= memoryPartitionsMax) partitions = number;
    else if (option === "bytesMax" && number >= 1) bytesMax = number;
    else {
      throw new BrokerError(
        `broker ${JSON.stringify(url)}: ${option}=${value} is none of partitions (1 to ${memoryPartitionsMax}) and bytesMax`,
      );
    }
  }
  return { name: found[1] ?? "", options: { partitions, bytesMax } };
}
