import { outsideContext, type Platform } from "../../platform/index.ts";
import type { PublishFailure, ReplyPort } from "../driver.ts";
import { BrokerError, PublishError } from "../errors.ts";
import type { EventRecord, StoredRecord } from "../record.ts";
import { isReplyTopic, newReplyTopic } from "../reply-topic.ts";
import type { LogStore } from "./store.ts";

/** How a topic is read without belonging to a group. */
type Tail = (topics: readonly string[], from: "beginning", signal: AbortSignal) => AsyncIterable<StoredRecord>;

/** Replies over a log store: a topic of one partition for each connection that asks, gone when it closes. */
export class LogReplies implements ReplyPort {
  readonly #store: LogStore;
  readonly #platform: Platform;
  readonly #tail: Tail;
  readonly #name: string;
  readonly #left = new AbortController();
  #topic: string | undefined;
  #reading: Promise<void> | undefined;

  constructor(store: LogStore, platform: Platform, name: string, tail: Tail) {
    this.#store = store;
    this.#platform = platform;
    this.#name = name;
    this.#tail = tail;
  }

  async open(receive: (record: StoredRecord) => void): Promise<string> {
    const topic = newReplyTopic(this.#platform.random);
    await this.#store.openReplies(topic);
    if (this.#left.signal.aborted) {
      await this.#store.closeReplies(topic);
      throw new BrokerError(`${this.#name}: the connection to the broker is closed`);
    }
    this.#topic = topic;
    // Its records are all for us, so that nothing is missed between here and the first look.
    this.#reading = outsideContext(() => this.#read(topic, receive));
    return topic;
  }

  accepts(address: string): boolean {
    return isReplyTopic(address);
  }

  send(reply: EventRecord): Promise<PublishFailure | undefined> {
    return this.#store.appendReply(reply);
  }

  async close(): Promise<void> {
    this.#left.abort();
    await this.#reading;
    if (this.#topic === undefined) return;
    const topic = this.#topic;
    this.#topic = undefined;
    // What cannot be removed now goes with the retention of the log.
    await this.#store.closeReplies(topic).catch(() => {});
  }

  async #pause(): Promise<void> {
    const { signal } = this.#left;
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#platform.clock.after(readAgainMs, resolve);
    const end = () => resolve();
    signal.addEventListener("abort", end);
    await promise;
    timer.cancel();
    signal.removeEventListener("abort", end);
  }

  async #read(topic: string, receive: (record: StoredRecord) => void): Promise<void> {
    const { signal } = this.#left;
    while (!signal.aborted) {
      try {
        for await (const record of this.#tail([topic], "beginning", signal)) receive(record);
      } catch {
        // The store could not be read, which its status says. What comes again finds nobody who waits for it twice.
        await this.#pause();
      }
    }
  }
}

/** Why a reply cannot be written: the one who asked has left, and its topic with it. */
export function goneReplies(name: string, topic: string): PublishFailure {
  return {
    isRetryable: false,
    error: new PublishError(`${name}: ${topic} is not there: whoever asked has left`, false),
  };
}

/** After a failed look at the log, in milliseconds. */
const readAgainMs = 500;
