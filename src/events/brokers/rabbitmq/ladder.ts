import type { AmqpChannel, AmqpTable } from "./amqp.ts";
import { explainOperation } from "./connect-error.ts";
import { ladderLevels, ladderUnitMs } from "./limits.ts";
import { ownHeader } from "./names.ts";

/**
 * Delays without a plug-in and without a consumer: a ladder of queues that all groups share, level n with a time to live of
 * 2^n quarters of a second. A delay is a binary number, and a message goes down through the queues of its bits that are 1.
 * Each queue has one time to live, so the message at its head is always the first that is due.
 *
 * Level n is a headers exchange. A message with the header for that level goes into its queue, any other by the alternate
 * exchange to the level below; when its time in the queue is over, it goes to the level below, too. Below the last level is
 * the exchange of what is due, which has a binding for each target. The routing key is the event's all the way.
 *
 * The queues are quorum queues that pass messages on at least once: a message leaves only when the next queue has it. One
 * without a target would block those behind it, so the last exchange has an alternate one with a queue for such.
 */
export class Ladder {
  readonly #prefix: string;

  /** @param prefix of all names that groups share, `trunkline` */
  constructor(prefix: string) {
    this.#prefix = `${prefix}.delay`;
  }

  /** Exchange of what is due. */
  get due(): string {
    return `${this.#prefix}.due`;
  }

  /** Queue of due messages whose target is gone. */
  get lost(): string {
    return `${this.#prefix}.lost`;
  }

  /** Takes everything and keeps nothing: due events of a topic that nobody listens to. */
  get void(): string {
    return `${this.#prefix}.void`;
  }

  /** Exchange and queue of a level: `trunkline.delay.250ms`, `trunkline.delay.500ms`, then `trunkline.delay.<n>` of 2^n s. */
  level(level: number): string {
    return level < 2 ? `${this.#prefix}.${ladderUnitMs * 2 ** level}ms` : `${this.#prefix}.${level - 2}`;
  }

  /**
   * Makes what is missing up to a level. All declarations are the same everywhere, so that it does not matter who is first.
   * @throws BrokerError
   */
  async declare(channel: AmqpChannel, levels: number): Promise<void> {
    try {
      await channel.declareQueue(this.lost, { isDurable: true, args: { "x-queue-type": "quorum" } });
      await channel.declareExchange(this.lost, "fanout");
      await channel.bindQueue(this.lost, this.lost, "");
      await channel.declareQueue(this.void, { isDurable: true, args: { "x-max-length": 0 } });
      await channel.declareExchange(this.due, "headers", { "alternate-exchange": this.lost });
      for (let level = 0; level < levels; level++) await this.#declareLevel(channel, level);
    } catch (error) {
      throw explainOperation(error, `the delay queues ${this.#prefix}.* cannot be declared`);
    }
  }

  async #declareLevel(channel: AmqpChannel, level: number): Promise<void> {
    const below = level === 0 ? this.due : this.level(level - 1);
    const own = this.level(level);
    await channel.declareExchange(own, "headers", { "alternate-exchange": below });
    await channel.declareQueue(own, {
      isDurable: true,
      args: {
        "x-queue-type": "quorum",
        "x-message-ttl": ladderUnitMs * 2 ** level,
        "x-dead-letter-exchange": below,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
      },
    });
    await channel.bindQueue(own, own, "", { "x-match": "all", [ownHeader.step + level]: "1" });
  }

  /** Lets due messages for a queue reach it. */
  async bindQueue(channel: AmqpChannel, queue: string): Promise<void> {
    await channel.bindQueue(queue, this.due, "", { "x-match": "all", [ownHeader.due]: dueQueue(queue) });
  }

  /** Lets due messages for a topic reach it. */
  async bindTopic(channel: AmqpChannel, topic: string): Promise<void> {
    const match = { "x-match": "all", [ownHeader.due]: dueTopic(topic) };
    await channel.bindExchange(topic, this.due, "", match);
    await channel.bindQueue(this.void, this.due, "", match);
  }
}

/** Value of the header that leads to a queue. */
export function dueQueue(queue: string): string {
  return `queue ${queue}`;
}

/** Value of the header that leads to a topic. */
export function dueTopic(topic: string): string {
  return `topic ${topic}`;
}

/** The longest delay, in milliseconds: 97 days. */
export const ladderDelayMsMax = ladderUnitMs * (2 ** ladderLevels - 1);

/** How a delay is walked: headers for its steps, and how many levels the ladder must have. Never shorter than asked. */
export function stepsOf(delayMs: number): { readonly levels: number; readonly headers: AmqpTable } {
  const units = Math.min(Math.ceil(Math.max(delayMs, 0) / ladderUnitMs), 2 ** ladderLevels - 1);
  const headers: Record<string, string> = {};
  let levels = 0;
  for (let level = 0; 2 ** level <= units; level++) {
    levels = level + 1;
    if ((units & (1 << level)) !== 0) headers[ownHeader.step + level] = "1";
  }
  return { levels, headers };
}
