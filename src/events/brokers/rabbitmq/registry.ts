import type { AmqpConnection } from "./amqp.ts";
import type { QueueNames } from "./names.ts";
import { sift } from "./queue-hold.ts";
import { ensureQueueByExchange, exists } from "./topology.ts";

/** A group and the queues that it has. */
export interface GroupEntry {
  readonly group: string;
  readonly topics: readonly string[];
  /** Several with partitions. */
  readonly queues: readonly QueueNames[];
}

/**
 * Which groups there are, for those who look at a broker from outside (AMQP lists nothing): a queue with a small document
 * for each group. It is read as dead letters are, so it is only written when something is new.
 */
export class GroupRegistry {
  readonly #queue: string;
  readonly #own = new Map<string, GroupEntry>();
  readonly #send: (exchange: string, body: Uint8Array) => Promise<void>;

  /** @param send publishes a body, durably */
  constructor(prefix: string, send: (exchange: string, body: Uint8Array) => Promise<void>) {
    this.#queue = `${prefix}.groups`;
    this.#send = send;
  }

  /** Remembers a group of this process, here and at the broker. */
  async add(connection: AmqpConnection, entry: GroupEntry): Promise<void> {
    this.#own.set(entry.group, entry);
    await ensureQueueByExchange(connection, this.#queue);
    const text = JSON.stringify(entry);
    let isThere = false;
    let isOutdated = false;
    await sift(connection, this.#queue, delivery => {
      const found = Buffer.from(delivery.body).toString("utf8");
      if (found === text && !isThere) isThere = true;
      else if (parseEntry(found)?.group === entry.group) isOutdated = true;
      return true;
    });
    if (!isThere) await this.#send(this.#queue, Buffer.from(text));
    if (!isOutdated) return;
    let isKept = false;
    await sift(connection, this.#queue, delivery => {
      const found = Buffer.from(delivery.body).toString("utf8");
      if (found === text && !isKept) {
        isKept = true;
        return true;
      }
      return parseEntry(found)?.group !== entry.group;
    });
  }

  /** All groups that are known; those of this process last, since they know best. */
  async entries(connection: AmqpConnection): Promise<readonly GroupEntry[]> {
    const known = new Map<string, GroupEntry>();
    if (await exists(connection, channel => channel.findQueue(this.#queue))) {
      await sift(connection, this.#queue, delivery => {
        const entry = parseEntry(Buffer.from(delivery.body).toString("utf8"));
        if (entry !== undefined) known.set(entry.group, entry);
        return true;
      });
    }
    for (const entry of this.#own.values()) known.set(entry.group, entry);
    return [...known.values()];
  }
}

/** What somebody else has put into the queue is passed over. */
export function parseEntry(text: string): GroupEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { group, topics, queues } = value as Record<string, unknown>;
  if (typeof group !== "string" || !isTexts(topics) || !Array.isArray(queues)) return undefined;
  const names: QueueNames[] = [];
  for (const one of queues as unknown[]) {
    const { queue, retry, dead } = (one ?? {}) as Record<string, unknown>;
    if (typeof queue !== "string" || typeof retry !== "string" || typeof dead !== "string") return undefined;
    names.push({ queue, retry, dead });
  }
  return names.length === 0 ? undefined : { group, topics, queues: names };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(text => typeof text === "string");
}
