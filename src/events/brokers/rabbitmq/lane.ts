import { outsideContext, type Platform } from "../../../platform/index.ts";
import type { Lane, RecordSink } from "../../driver.ts";
import type { StoredRecord } from "../../record.ts";
import { AckWindow } from "./ack-window.ts";
import type { AmqpChannel, AmqpDelivery } from "./amqp.ts";
import { releasedAgainMs } from "./limits.ts";
import { type DirectMessages, deliveryCount, RabbitmqRecord } from "./message.ts";
import type { QueueNames } from "./names.ts";

export interface RabbitmqLaneOptions {
  readonly names: QueueNames;
  readonly direct?: DirectMessages | undefined;
  readonly isOrdered: boolean;
  readonly channel: AmqpChannel;
  readonly platform: Platform;
  readonly sink: RecordSink;
  /**
   * Lets a record that a crash may have left behind come again as one with an attempt more, where its queue does not count.
   * Rejects when that could not be made durable.
   */
  readonly countCrash: (record: RabbitmqRecord) => Promise<void>;
}

/**
 * A channel while it lives: the deliveries of a queue and of its retry queue. A channel that is opened later is another lane,
 * so nothing that was delivered on a dead one can be acknowledged on its successor.
 */
export class RabbitmqLane implements Lane {
  readonly name: string;
  readonly isOrdered: boolean;
  readonly #options: RabbitmqLaneOptions;
  readonly #window = new AckWindow();
  /** Delivered and not handed over; prefetch bounds it. */
  #waiting: RabbitmqRecord[] = [];
  #isPaused = false;
  #isStopped = false;
  #isGone = false;
  #isHandOverDue = false;
  #isFlushDue = false;

  constructor(options: RabbitmqLaneOptions) {
    this.name = options.names.queue;
    this.isOrdered = options.isOrdered;
    this.#options = options;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Delivered and not acknowledged. */
  get unsettled(): number {
    return this.#window.size;
  }

  delivered(delivery: AmqpDelivery, queue: string): void {
    if (this.#isGone) return;
    this.#window.delivered(delivery.tag);
    if (this.#isStopped) {
      this.#giveBack(delivery.tag);
      return;
    }
    const record = new RabbitmqRecord(delivery, queue, this.#options.names, this.#options.direct);
    record.lane = this;
    // A classic queue only says that the message was out before. In an ordered lane it must not lose its place for that.
    const isUncounted = delivery.isRedelivered && deliveryCount(delivery.properties.headers ?? {}) === undefined;
    if (isUncounted && !this.isOrdered) {
      void this.#countCrash(record);
      return;
    }
    this.#waiting.push(record);
    this.#handOverSoon();
  }

  settle(record: StoredRecord): void {
    const tag = this.#tagOf(record);
    if (this.#isGone || tag === undefined || !this.#window.settle(tag)) return;
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    outsideContext(() =>
      this.#options.platform.clock.endOfTurn(() => {
        this.#isFlushDue = false;
        this.flush();
      }),
    );
  }

  release(record: StoredRecord): void {
    const tag = this.#tagOf(record);
    if (this.#isGone || tag === undefined) return;
    if (!this.isOrdered) {
      this.#giveBack(tag);
    } else if (!this.#isStopped) {
      // A returned message would lose its place in a quorum queue, so it comes again from here.
      outsideContext(() => this.#options.platform.clock.after(releasedAgainMs, () => this.#comesAgain(record)));
    }
    // An ordered lane that ends gives everything back at once, with its channel: in its old place.
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#handOverSoon();
  }

  /** Nothing more is handed over; what was can still be settled. */
  stop(): void {
    this.#isStopped = true;
    for (const record of this.#waiting) this.#giveBack(record.delivery.tag);
    this.#waiting = [];
  }

  /** The channel is dead, or about to be closed: nothing counts any more. */
  end(): void {
    this.#isGone = true;
    this.#waiting = [];
  }

  /** Tells the broker what has been settled. */
  flush(): void {
    if (this.#isGone) return;
    const { channel } = this.#options;
    const { upTo, single } = this.#window.take();
    if (upTo > 0) channel.ack(upTo, true);
    for (const tag of single) channel.ack(tag, false);
  }

  /** `undefined` for a record of another lane. */
  #tagOf(record: StoredRecord): number | undefined {
    return record instanceof RabbitmqRecord && record.lane === this ? record.delivery.tag : undefined;
  }

  #comesAgain(record: StoredRecord): void {
    if (this.#isStopped || this.#isGone) return;
    this.#waiting.push(record as RabbitmqRecord);
    this.#handOverSoon();
  }

  #giveBack(tag: number): void {
    if (this.isOrdered || !this.#window.giveBack(tag)) return;
    this.#options.channel.requeue(tag);
  }

  async #countCrash(record: RabbitmqRecord): Promise<void> {
    try {
      await this.#options.countCrash(record);
      this.settle(record);
    } catch {
      // It comes again as it is, and is counted then. At once would be a loop of its own.
      this.#options.platform.clock.after(1_000, () => {
        if (!this.#isGone) this.#giveBack(record.delivery.tag);
      });
    }
  }

  #handOverSoon(): void {
    if (this.#isHandOverDue || this.#isPaused || this.#waiting.length === 0) return;
    this.#isHandOverDue = true;
    outsideContext(() =>
      this.#options.platform.clock.endOfTurn(() => {
        this.#isHandOverDue = false;
        if (this.#isPaused || this.#isStopped || this.#isGone || this.#waiting.length === 0) return;
        const records = this.#waiting;
        this.#waiting = [];
        this.#options.sink.records(this, records);
      }),
    );
  }
}
