import { outsideContext } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { type AmqpChannel, type AmqpConnection, type AmqpDelivery, AmqpError } from "./amqp.ts";
import { heldBytesMax, heldLettersMax } from "./limits.ts";

/**
 * All messages of a queue in the hand, as they are: a consumer takes them without an acknowledgement, and the end of its
 * channel gives back what was not removed. They are out of sight for everybody else meanwhile.
 *
 * One consumer for all of them, also where somebody looks for the first only: a quorum queue gives back what one consumer held
 * in its order and ahead of the others, but mixes what several held (each `basic.get` is one), and puts what a short look has
 * taken behind what an earlier look had given back.
 */
export class QueueHold {
  readonly queue: string;
  readonly #channel: AmqpChannel;
  readonly #held = new Map<number, AmqpDelivery>();
  #bytes = 0;
  #hasLetGo = false;
  #hasMore = false;
  #isClosed = false;
  #received = 0;

  private constructor(channel: AmqpChannel, queue: string) {
    this.queue = queue;
    this.#channel = channel;
  }

  /** @throws AmqpError 404 when there is no such queue */
  static async open(connection: AmqpConnection, queue: string): Promise<QueueHold> {
    const channel = await outsideContext(() => connection.channel(false));
    const hold = new QueueHold(channel, queue);
    const isOver = () => {
      hold.#isClosed = true;
    };
    channel.handler = { closed: isOver, confirmed() {}, returned() {} };
    try {
      await channel.prefetch(heldLettersMax);
      await channel.consume(queue, {}, delivery => (delivery === undefined ? isOver() : hold.#add(delivery)));
      await hold.refresh();
      return hold;
    } catch (error) {
      await hold.close();
      throw error;
    }
  }

  /** What is held, from the head of the queue. May change while it is walked. */
  get deliveries(): Iterable<AmqpDelivery> {
    return this.#held.values();
  }

  /** There is more in the queue than one should hold: `limits.ts`. */
  get isPartial(): boolean {
    return this.#hasLetGo || this.#hasMore;
  }

  /** Messages went by that were too much; they come again only to another hold. */
  get hasLetGo(): boolean {
    return this.#hasLetGo;
  }

  /** Nothing is held any more: the channel is over, or the queue was deleted. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  #add(delivery: AmqpDelivery): void {
    this.#received++;
    // What is beyond is on its way already; it is let go unseen, and goes back like the rest.
    if (this.#held.size > 0 && this.#bytes + delivery.body.length > heldBytesMax) this.#hasLetGo = true;
    if (this.#hasLetGo) return;
    this.#bytes += delivery.body.length;
    this.#held.set(delivery.tag, delivery);
  }

  /**
   * Resolves when everything is held that is in the queue now.
   * @throws BrokerError, AmqpError when that cannot be known
   */
  async refresh(): Promise<void> {
    // An answer may overtake deliveries within the broker, but those come before the answer to the next question then.
    for (let quiet = 0; quiet < 2 && !this.#hasLetGo; ) {
      const before = this.#received;
      const { messages } = await this.#channel.findQueue(this.queue);
      this.#hasMore = messages > 0 && this.#held.size >= heldLettersMax;
      if (this.#hasMore) return;
      quiet = messages === 0 && this.#received === before ? quiet + 1 : 0;
      if (this.#isClosed)
        throw new AmqpError(`the queue "${this.queue}" went away while it was looked through`, undefined);
    }
  }

  /** Takes a message out of the queue. */
  remove(delivery: AmqpDelivery): void {
    if (!this.#held.delete(delivery.tag)) return;
    this.#bytes -= delivery.body.length;
    this.#channel.ack(delivery.tag, false);
  }

  /** Gives everything back that was not removed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#held.clear();
    await this.#channel.close();
  }

  /** For who has looked at all that is held, and has not found enough. */
  tooMuch(): BrokerError {
    return new BrokerError(
      `RabbitMQ: the queue "${this.queue}" has more than ${heldLettersMax} messages or ${heldBytesMax} bytes to look ` +
        "through; replay or discard those at its head first (limit), or move messages out of it",
    );
  }
}

/** Looks at all messages of a queue; those that `isKept` refuses are removed. */
export async function sift(
  connection: AmqpConnection,
  queue: string,
  isKept: (delivery: AmqpDelivery) => boolean,
): Promise<void> {
  const hold = await QueueHold.open(connection, queue);
  try {
    for (const delivery of hold.deliveries) if (!isKept(delivery)) hold.remove(delivery);
    if (hold.isPartial) throw hold.tooMuch();
  } finally {
    await hold.close();
  }
}
