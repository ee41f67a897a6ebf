import { outsideContext, type Platform } from "../../../platform/index.ts";
import type { PublishFailure, ReplyPort } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import { goneReplies } from "../../log/index.ts";
import type { EventRecord, StoredRecord } from "../../record.ts";
import { isReplyTopic, newReplyTopic } from "../../reply-topic.ts";
import type { Cluster } from "./cluster.ts";
import { deleteTopicMs, replyTopicLookMs, replyTopicLooks, replyTopicsMax, replyTopicTimes } from "./limits.ts";
import { pause } from "./pause.ts";
import type { Producer } from "./producer.ts";
import { outgoingEvent } from "./records.ts";
import type { NewTopic } from "./wire.ts";

export interface RepliesParts {
  readonly cluster: Cluster;
  readonly producer: Producer;
  readonly platform: Platform;
  /** Makes a topic, and waits until it has a leader. @throws BrokerError */
  readonly make: (topic: NewTopic) => Promise<void>;
  readonly remove: (topic: string) => Promise<void>;
  readonly tail: (topic: string, signal: AbortSignal) => AsyncIterable<StoredRecord>;
}

/**
 * Replies over Kafka: a topic of one partition for each connection that asks, made for it whatever `createTopics` says,
 * because nobody can make it beforehand. It keeps what it has for an hour, and is deleted when the connection closes; one
 * that is left over by a crash is empty after that hour.
 */
export class KafkaReplies implements ReplyPort {
  readonly #parts: RepliesParts;
  readonly #left = new AbortController();
  #topic: string | undefined;
  #reading: Promise<void> | undefined;
  /** Topics of others that were written to, the latest last. */
  readonly #known = new Set<string>();
  /** Those that were not there, the latest last: they are looked for once, and not several times. */
  readonly #missing = new Set<string>();

  constructor(parts: RepliesParts) {
    this.#parts = parts;
  }

  async open(receive: (record: StoredRecord) => void): Promise<string> {
    const topic = newReplyTopic(this.#parts.platform.random);
    await this.#parts.make({ topic, partitions: 1, config: replyTopicTimes });
    this.#topic = topic;
    // Its records are all for us, so that nothing is missed between here and the first fetch.
    this.#reading = outsideContext(() => this.#read(topic, receive));
    return topic;
  }

  accepts(address: string): boolean {
    return isReplyTopic(address);
  }

  async send(reply: EventRecord): Promise<PublishFailure | undefined> {
    const address = reply.topic;
    try {
      if (!(await this.#isThere(address))) return this.#gone(address);
    } catch (error) {
      const text = `kafka: ${(error as Error).message}`;
      return { isRetryable: true, error: new PublishError(text, true, { cause: error }) };
    }
    this.#remember(address);
    const produced = await this.#produced(reply);
    return produced === "gone" ? this.#gone(address) : produced;
  }

  /** Ends reading and removes the topic, as far as that is allowed and does not take long. */
  async close(): Promise<void> {
    this.#left.abort();
    const topic = this.#topic;
    if (topic === undefined) return;
    this.#topic = undefined;
    const over = new AbortController();
    const end = () => over.abort();
    Promise.resolve(this.#reading)
      .then(() => this.#parts.remove(topic))
      .then(end, end);
    await pause(this.#parts.platform.clock, deleteTopicMs, over.signal);
  }

  /** The producer's answer; `"gone"` as soon as the topic turns out to be deleted, which is no answer to a producer. */
  async #produced(reply: EventRecord): Promise<PublishFailure | undefined | "gone"> {
    const { cluster, platform, producer } = this.#parts;
    const over = new AbortController();
    let outcome: { readonly failure: PublishFailure | undefined } | undefined;
    const produced = producer.send([outgoingEvent(reply, Math.floor(platform.clock.wall()))]).then(([failure]) => {
      outcome = { failure };
      over.abort();
    });
    for (;;) {
      await Promise.race([produced, pause(platform.clock, replyTopicLookMs, over.signal)]);
      if (outcome !== undefined) return outcome.failure;
      if ((cluster.topic(reply.topic)?.leaders.length ?? 0) > 0) continue;
      // The producer keeps the record until its time is over.
      void produced.then(() => {
        if (!this.#known.has(reply.topic)) this.#forget(reply.topic);
      });
      return "gone";
    }
  }

  async #read(topic: string, receive: (record: StoredRecord) => void): Promise<void> {
    const { cluster, platform, tail } = this.#parts;
    const { signal } = this.#left;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        for await (const record of tail(topic, signal)) {
          attempt = 0;
          receive(record);
        }
      } catch {
        // The cluster's state says why. What comes again from the beginning finds nobody who waits for it twice.
        await pause(platform.clock, cluster.pauseMs(attempt), signal);
      }
    }
  }

  /** A broker may hear of a new topic a moment after the one that was asked. @throws CallError */
  async #isThere(topic: string): Promise<boolean> {
    const { cluster, platform } = this.#parts;
    const looks = this.#missing.has(topic) ? 1 : replyTopicLooks;
    for (let look = 1; ; look++) {
      if ((cluster.topic(topic)?.leaders.length ?? 0) > 0) return true;
      if (look > looks) return false;
      if (look > 1) await pause(platform.clock, cluster.pauseMs(look));
      await cluster.refresh([topic]);
    }
  }

  #remember(topic: string): void {
    this.#missing.delete(topic);
    const oldest = newest(this.#known, topic);
    if (oldest !== undefined) this.#forget(oldest);
  }

  #gone(topic: string): PublishFailure {
    newest(this.#missing, topic);
    this.#forget(topic);
    return goneReplies("kafka", topic);
  }

  /** Those who ask come and go: nothing is kept of them for ever. */
  #forget(topic: string): void {
    if (topic === this.#topic) return;
    this.#known.delete(topic);
    this.#parts.producer.forget(topic);
    this.#parts.cluster.forget(topic);
  }
}

/** Puts a topic at the end of those that are kept in mind. @returns the one that is not any more */
function newest(topics: Set<string>, topic: string): string | undefined {
  topics.delete(topic);
  topics.add(topic);
  const [oldest] = topics;
  if (topics.size <= replyTopicsMax || oldest === undefined) return undefined;
  topics.delete(oldest);
  return oldest;
}
