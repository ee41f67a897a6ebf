import type { Platform } from "../../../platform/index.ts";
import type { DeathDetails, DriverSubscription } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventIds } from "../../event-id.ts";
import type { AttemptHistory, StoredRecord } from "../../record.ts";
import type { AmqpMessage } from "./amqp.ts";
import { letterOf } from "./dead-letters.ts";
import { dueQueue, ladderDelayMsMax, stepsOf } from "./ladder.ts";
import type { LaneConsumer } from "./lane-consumer.ts";
import { again, RabbitmqRecord } from "./message.ts";
import { ownHeader } from "./names.ts";

export interface SubscriptionOptions {
  readonly group: string;
  /** One for each queue. */
  readonly consumers: readonly LaneConsumer[];
  readonly platform: Platform;
  readonly ids: EventIds;
  /** Resolves when it is durable. */
  readonly send: (message: AmqpMessage) => Promise<void>;
  /** Exchange where a delay of so many levels begins; makes the levels that are missing. */
  readonly delayExchange: (levels: number) => Promise<string>;
  readonly closed: (subscription: RabbitmqSubscription) => void;
}

/** A member of a group. Retries and dead letters are messages of our own, so they need nothing of the queue's arguments. */
export class RabbitmqSubscription implements DriverSubscription {
  readonly #options: SubscriptionOptions;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  /** Delivered from a queue to this member and not acknowledged. */
  inWork(queue: string): number {
    return this.#options.consumers.reduce((sum, one) => sum + (one.queue === queue ? one.inWork : 0), 0);
  }

  async retryLater(record: StoredRecord, delayMs: number, history: AttemptHistory): Promise<void> {
    const own = this.#own(record);
    await this.#options.send(await retryOf(own, delayMs, history, this.#options.delayExchange));
  }

  async deadLetter(record: StoredRecord, details: DeathDetails): Promise<void> {
    const { group, ids, platform, send } = this.#options;
    const own = this.#own(record);
    const letterId = ids.next();
    const diedAtMs = platform.clock.wall();
    const letter = letterOf(own, group, details, letterId, diedAtMs);
    try {
      await send(letter);
    } catch (error) {
      if ((error as { isRetryable?: unknown }).isRetryable !== false || details.exception === undefined) throw error;
      // Together with its producer's own headers the exception may be more than headers can hold.
      const shorter = { ...details, exception: "too long to be kept beside the headers of this event" };
      await send(letterOf(own, group, shorter, letterId, diedAtMs));
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#options.consumers.map(consumer => consumer.stop()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#options.consumers.map(consumer => consumer.close()));
    this.#options.closed(this);
  }

  #own(record: StoredRecord): RabbitmqRecord {
    if (record instanceof RabbitmqRecord && record.names !== undefined) return record;
    throw new BrokerError(`RabbitMQ: the record ${record.place} was not delivered to this group`);
  }
}

/** A record on its way to the retry queue of its group, over the ladder. */
export async function retryOf(
  record: RabbitmqRecord,
  delayMs: number,
  history: AttemptHistory,
  delayExchange: (levels: number) => Promise<string>,
): Promise<AmqpMessage> {
  const { names, routingKey } = record;
  if (names === undefined) throw new BrokerError(`RabbitMQ: the record ${record.place} belongs to no group`);
  const { levels, headers } = stepsOf(Math.min(delayMs, ladderDelayMsMax));
  const added = { ...headers, [ownHeader.due]: dueQueue(names.retry) };
  return again(record, { exchange: await delayExchange(levels), routingKey }, added, history);
}
