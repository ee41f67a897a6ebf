import { type Clock, outsideContext, type Timer } from "../../../platform/index.ts";
import { isReservedHeader } from "../../attributes.ts";
import type {
  DeadLetter,
  DeadLetterEdit,
  DeadLetterFilter,
  DeadLetterReason,
  DeadLetterStore,
} from "../../dead-letter.ts";
import type { DeathDetails } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventIds } from "../../event-id.ts";
import type { AmqpConnection, AmqpDelivery, AmqpMessage } from "./amqp.ts";
import { dueQueue } from "./ladder.ts";
import { exceptionBytesMax, holdIdleMs, holdMsMax } from "./limits.ts";
import { again, RabbitmqRecord, textOf } from "./message.ts";
import { ownHeader } from "./names.ts";
import { QueueHold } from "./queue-hold.ts";
import type { GroupEntry } from "./registry.ts";
import { exists } from "./topology.ts";

/** A record as a dead letter: itself, with why among its headers. */
export function letterOf(
  record: RabbitmqRecord,
  group: string,
  details: DeathDetails,
  letterId: string,
  diedAtMs: number,
): AmqpMessage {
  const { dead, retry } = record.names ?? {};
  if (dead === undefined) throw new BrokerError(`RabbitMQ: the record ${record.place} belongs to no group`);
  const added = {
    [ownHeader.letterId]: letterId,
    [ownHeader.group]: group,
    [ownHeader.reason]: details.reason,
    [ownHeader.exception]: details.exception === undefined ? undefined : cut(details.exception),
    [ownHeader.diedAt]: String(Math.floor(diedAtMs)),
    [ownHeader.place]: record.place,
    [ownHeader.consumer]: cut(details.consumer),
    [ownHeader.contract]: details.contract,
    [ownHeader.retryQueue]: retry,
  };
  return again(record, { exchange: dead, routingKey: record.routingKey }, added, details);
}

function cut(text: string): string {
  return text.length > exceptionBytesMax ? `${text.slice(0, exceptionBytesMax)}…` : text;
}

export interface DeadLettersOptions {
  readonly connection: () => Promise<AmqpConnection>;
  readonly groups: (connection: AmqpConnection) => Promise<readonly GroupEntry[]>;
  /** Resolves when it is durable. */
  readonly send: (message: AmqpMessage) => Promise<void>;
  /** Exchange that leads to retry queues. */
  readonly dueExchange: string;
  readonly ids: EventIds;
  readonly clock: Clock;
}

/**
 * Dead letters in the queues `<queue>.dead`. A queue shows what is in it only to who takes it all (`QueueHold`), so that is
 * kept in the hand from one operation to the next where they follow each other at once: going through many letters takes the
 * queue once, and not once for each.
 */
export class RabbitmqDeadLetters implements DeadLetterStore {
  readonly #options: DeadLettersOptions;
  readonly #clock: Clock;
  #hold: QueueHold | undefined;
  #heldSinceMs = 0;
  #letGo: Timer | undefined;
  /** One operation at a time: what one holds, the other would not see. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DeadLettersOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  async *list(filter: DeadLetterFilter): AsyncGenerator<DeadLetter> {
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    const connection = await this.#options.connection();
    for (const { queue, group } of await this.#queues(connection, filter.group)) {
      if (left <= 0) return;
      const letters = await this.#holding(connection, queue, hold => {
        const found: DeadLetter[] = [];
        for (const delivery of hold.deliveries) {
          const letter = readLetter(delivery, queue, group);
          if (matches(letter, filter)) found.push(letter);
        }
        if (hold.isPartial && found.length < left) throw hold.tooMuch();
        // An edited one is at the end of its queue, and belongs where it died.
        return found.sort((a, b) => a.diedAtMs - b.diedAtMs).slice(0, left);
      });
      if (letters === undefined) continue;
      left -= letters.length;
      yield* letters;
    }
  }

  async replay(letter: DeadLetter): Promise<void> {
    await this.#find(letter, async (delivery, queue) => {
      const retryQueue =
        textOf(delivery.properties.headers?.[ownHeader.retryQueue]) ?? `${queue.replace(/\.dead$/, "")}.retry`;
      const record = original(delivery, queue);
      const target = { exchange: this.#options.dueExchange, routingKey: record.routingKey };
      await this.#options.send(again(record, target, { ...withoutDeath, [ownHeader.due]: dueQueue(retryQueue) }));
    });
  }

  async discard(letter: DeadLetter): Promise<void> {
    await this.#find(letter, async () => {});
  }

  async edit(letter: DeadLetter, change: DeadLetterEdit): Promise<DeadLetter> {
    let edited = letter;
    await this.#find(letter, async (delivery, queue) => {
      const letterId = textOf(delivery.properties.headers?.[ownHeader.letterId]) ?? this.#options.ids.next();
      const headers = { ...headersOfEdit(change, delivery), [ownHeader.letterId]: letterId };
      const record = original(delivery, queue);
      const message = again(record, { exchange: queue, routingKey: record.routingKey }, headers, record.history);
      await this.#options.send(message);
      edited = readLetter({ ...delivery, properties: message.properties }, queue, letter.group);
    });
    return edited;
  }

  /** Gives back what is in the hand. */
  close(): Promise<void> {
    return this.#alone(() => this.#giveBack());
  }

  /** Lets `act` make something of the letter, then removes it. When `act` fails it stays. */
  async #find(letter: DeadLetter, act: (delivery: AmqpDelivery, queue: string) => Promise<void>): Promise<void> {
    const connection = await this.#options.connection();
    for (const { queue, group } of await this.#queues(connection, letter.group)) {
      const isFound = await this.#holding(connection, queue, async hold => {
        for (const delivery of hold.deliveries) {
          if (readLetter(delivery, queue, group).letterId !== letter.letterId) continue;
          await act(delivery, queue);
          hold.remove(delivery);
          return true;
        }
        if (hold.isPartial) throw hold.tooMuch();
        return false;
      });
      if (isFound === true) return;
    }
    throw new BrokerError(
      `RabbitMQ: the dead letter ${letter.letterId} of ${letter.group} is not there any more: somebody else has replayed ` +
        "or discarded it, or is looking at it at the moment",
    );
  }

  /** Runs `use` with a queue in the hand, which stays there for a moment. `undefined` when there is no such queue. */
  #holding<T>(
    connection: AmqpConnection,
    queue: string,
    use: (hold: QueueHold) => T | Promise<T>,
  ): Promise<T | undefined> {
    return this.#alone(async () => {
      this.#letGo?.cancel();
      const hold = await this.#take(connection, queue);
      if (hold === undefined) return undefined;
      try {
        return await use(hold);
      } finally {
        const giveBack = () => void this.close();
        this.#letGo = outsideContext(() => this.#clock.after(holdIdleMs, giveBack));
      }
    });
  }

  async #take(connection: AmqpConnection, queue: string): Promise<QueueHold | undefined> {
    const held = this.#hold;
    const isFresh = this.#clock.now() - this.#heldSinceMs < holdMsMax;
    if (held?.queue === queue && !held.isClosed && !held.hasLetGo && isFresh) {
      try {
        await held.refresh();
        return held;
      } catch {
        // Its channel has gone meanwhile; another look tells why.
      }
    }
    await this.#giveBack();
    if (!(await exists(connection, channel => channel.findQueue(queue)))) return undefined;
    this.#hold = await QueueHold.open(connection, queue);
    this.#heldSinceMs = this.#clock.now();
    return this.#hold;
  }

  async #giveBack(): Promise<void> {
    this.#letGo?.cancel();
    const hold = this.#hold;
    this.#hold = undefined;
    await hold?.close();
  }

  /** Queues of dead letters, of one group or of all. */
  async #queues(
    connection: AmqpConnection,
    group: string | undefined,
  ): Promise<readonly { queue: string; group: string }[]> {
    const queues = new Map<string, string>();
    for (const entry of await this.#options.groups(connection)) {
      if (group !== undefined && entry.group !== group) continue;
      for (const { dead } of entry.queues) queues.set(dead, entry.group);
    }
    // A group that was never registered, but has the queue of its own name.
    if (group !== undefined && queues.size === 0) queues.set(`${group}.dead`, group);
    return [...queues].map(([queue, owner]) => ({ queue, group: owner }));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/**
 * The letter with its event's own topic, also where the broker itself has put it there, and without the returns of the queue
 * of dead letters: those are looks at it, no attempts.
 */
function original(delivery: AmqpDelivery, queue: string): RabbitmqRecord {
  const { "x-delivery-count": _looks, ...headers } = delivery.properties.headers ?? {};
  const isOurs = headers[ownHeader.topic] !== undefined;
  return new RabbitmqRecord(
    {
      ...delivery,
      isRedelivered: false,
      exchange: isOurs ? delivery.exchange : (firstExchange(headers) ?? delivery.exchange),
      properties: { ...delivery.properties, headers },
    },
    queue,
  );
}

function firstExchange(headers: Readonly<Record<string, unknown>>): string | undefined {
  const deaths = headers["x-death"];
  const first = (Array.isArray(deaths) ? deaths.at(-1) : undefined) as Record<string, unknown> | undefined;
  return textOf(first?.exchange);
}

function readLetter(delivery: AmqpDelivery, queue: string, group: string): DeadLetter {
  const headers = delivery.properties.headers ?? {};
  const record = original(delivery, queue);
  const number = (name: string) => {
    const text = textOf(headers[name]);
    return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
  };
  return {
    letterId: textOf(headers[ownHeader.letterId]) ?? record.attributes.id ?? record.fallbackId,
    group: textOf(headers[ownHeader.group]) ?? group,
    topic: record.topic,
    key: record.key,
    attributes: record.attributes,
    body: record.body,
    reason: reasonOf(headers[ownHeader.reason]),
    exception: textOf(headers[ownHeader.exception]),
    attempts: record.history.attempts,
    firstFailedAtMs: record.history.firstFailedAtMs,
    diedAtMs: number(ownHeader.diedAt) ?? 0,
    place: textOf(headers[ownHeader.place]) ?? queue,
    consumer: textOf(headers[ownHeader.consumer]) ?? "the broker",
    contract: textOf(headers[ownHeader.contract]),
  };
}

const reasons: ReadonlySet<string> = new Set<DeadLetterReason>([
  "attempts",
  "discarded",
  "undecodable",
  "invalid",
  "unknown_type",
  "expired",
  "refused",
]);

/** What the broker gives up itself has been returned too often. */
function reasonOf(value: unknown): DeadLetterReason {
  return typeof value === "string" && reasons.has(value) ? (value as DeadLetterReason) : "attempts";
}

function matches(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  return (
    (filter.topic === undefined || letter.topic === filter.topic) &&
    (filter.type === undefined || letter.attributes.type === filter.type) &&
    (filter.key === undefined || letter.key === filter.key) &&
    (filter.reason === undefined || letter.reason === filter.reason) &&
    (filter.letterIds === undefined || filter.letterIds.includes(letter.letterId)) &&
    (filter.sinceMs === undefined || letter.diedAtMs >= filter.sinceMs)
  );
}

/** Headers of a dead letter that its event does not have. */
const withoutDeath: Readonly<Record<string, undefined>> = Object.fromEntries(
  [
    ownHeader.letterId,
    ownHeader.group,
    ownHeader.reason,
    ownHeader.exception,
    ownHeader.diedAt,
    ownHeader.place,
    ownHeader.consumer,
    ownHeader.contract,
    ownHeader.retryQueue,
  ].map(name => [name, undefined]),
);

/** @throws BrokerError for a header that says something else */
function headersOfEdit({ type, key, headers = {} }: DeadLetterEdit, delivery: AmqpDelivery): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (isReservedHeader(name)) throw new BrokerError(`RabbitMQ: the header "${name}" is not one that can be edited`);
    for (const old of Object.keys(delivery.properties.headers ?? {})) {
      if (old.toLowerCase() === name.toLowerCase()) changed[old] = undefined;
    }
    changed[name] = value;
  }
  if (type !== undefined) changed.cloudEvents_type = type;
  if (key !== undefined) changed.cloudEvents_subject = key;
  return changed;
}
