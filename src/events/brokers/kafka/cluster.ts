import { outsideContext, type Platform } from "../../../platform/index.ts";
import { backoffDelayMs } from "../../../resilience/index.ts";
import { BrokerError } from "../../errors.ts";
import { code, codeText, isStaleCoordinator } from "./error-codes.ts";
import { callAgain, metadataAgainMs, metadataAgeMsMax, partitionsMax } from "./limits.ts";
import { pause } from "./pause.ts";
import { type Address, CallError, type Channel, type CoordinatorOf, type TopicMetadata } from "./wire.ts";

/** A topic as the cluster described it last. */
export interface Topic {
  readonly topicId: string;
  /** Node ids of the leaders by partition; -1 where there is none. */
  readonly leaders: readonly number[];
  /** Of the whole topic; `code.none` for one that is there. */
  readonly error: number;
}

/**
 * What is known of the cluster: brokers, topics, leaders. Asked for when it is missing or has shown to be stale; questions
 * of the same moment become one, and an answer that did not help is not asked for again at once.
 */
export class Cluster {
  readonly #channel: Channel;
  readonly #bootstrap: readonly Address[];
  readonly #platform: Platform;
  #brokers: ReadonlyMap<number, Address> = new Map();
  readonly #topics = new Map<string, Topic>();
  readonly #learntAtMs = new Map<string, number>();
  #wanted = new Set<string>();
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #lastAskedMs = Number.NEGATIVE_INFINITY;
  #failure: CallError | undefined;
  readonly #closed = new AbortController();

  constructor(channel: Channel, bootstrap: readonly Address[], platform: Platform) {
    this.#channel = channel;
    this.#bootstrap = bootstrap;
    this.#platform = platform;
  }

  /** Why no broker could be reached the last time; `undefined` when one was. */
  get failure(): CallError | undefined {
    return this.#failure;
  }

  get isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** Nobody here needs it any more. */
  forget(topic: string): void {
    this.#topics.delete(topic);
    this.#learntAtMs.delete(topic);
    this.#wanted.delete(topic);
  }

  leaderOf(topic: string, partition: number): Address | undefined {
    const leader = this.#topics.get(topic)?.leaders[partition];
    return leader === undefined ? undefined : this.#brokers.get(leader);
  }

  /** Topics whose description is older than allowed, of these. */
  aged(topics: readonly string[]): readonly string[] {
    const oldest = this.#platform.clock.now() - metadataAgeMsMax;
    return topics.filter(topic => (this.#learntAtMs.get(topic) ?? Number.NEGATIVE_INFINITY) < oldest);
  }

  /**
   * Asks for topics anew. Resolves with the next answer that was asked for after this call.
   * @throws CallError when no broker can be reached
   */
  refresh(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#wanted.add(topic);
    if (this.#running === undefined) return this.#start();
    // The one that is under way may have been asked before what the caller knows happened.
    this.#next ??= this.#running.then(
      () => this.#startNext(),
      () => this.#startNext(),
    );
    return this.#next;
  }

  #startNext(): Promise<void> {
    this.#next = undefined;
    return this.#start();
  }

  #start(): Promise<void> {
    const running = outsideContext(() => this.#ask()).finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    running.catch(() => {});
    return running;
  }

  async #ask(): Promise<void> {
    const { clock } = this.#platform;
    const early = this.#lastAskedMs + metadataAgainMs - clock.now();
    if (early > 0) await pause(clock, early, this.#closed.signal);
    this.#lastAskedMs = clock.now();
    const topics = [...this.#wanted];
    this.#wanted = new Set();
    try {
      const { brokers, topics: answers } = await this.anyBroker(at => this.#channel.metadata(at, topics));
      this.#learn(brokers, answers);
    } catch (error) {
      for (const topic of topics) this.#wanted.add(topic);
      throw error;
    }
  }

  /** All topics of the cluster, without remembering them. */
  async allTopics(): Promise<readonly TopicMetadata[]> {
    const { brokers, topics } = await this.anyBroker(at => this.#channel.metadata(at, undefined));
    this.#learn(brokers, []);
    return topics;
  }

  get brokers(): readonly Address[] {
    return [...this.#brokers.values()];
  }

  #learn(brokers: ReadonlyMap<number, Address>, topics: readonly TopicMetadata[]): void {
    if (brokers.size > 0) this.#brokers = brokers;
    for (const { topic, topicId, error, partitions } of topics) {
      const known = this.#topics.get(topic);
      this.#learntAtMs.set(topic, this.#platform.clock.now());
      if (error !== code.none && error !== code.unknownTopicOrPartition && known !== undefined) continue;
      const leaders: number[] = [];
      for (const { partition, leader } of partitions)
        if (partition >= 0 && partition < partitionsMax) leaders[partition] = leader;
      // A broker that has not heard of it yet does not make a topic smaller.
      this.#topics.set(topic, { topicId, leaders, error });
    }
  }

  /**
   * Asks the brokers that are known, then those of the URL, one after the other until one answers.
   * @throws CallError of the last
   */
  async anyBroker<T>(call: (at: Address) => Promise<T>): Promise<T> {
    const known = [...this.#brokers.values()];
    const first = known.length === 0 ? 0 : this.#platform.random.below(known.length);
    const candidates = [...known.slice(first), ...known.slice(0, first), ...this.#bootstrap];
    const texts = new Set<string>();
    let isFinal = true;
    let cause: unknown;
    for (const at of candidates) {
      if (this.isClosed) throw new CallError("the connection to Kafka is closed", false, true);
      try {
        const answer = await call(at);
        this.#failure = undefined;
        return answer;
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        texts.add(error.message);
        isFinal &&= error.isFinal;
        cause = error;
      }
    }
    this.#failure = new CallError([...texts].join("; "), false, isFinal, { cause });
    throw this.#failure;
  }

  /**
   * Who coordinates a group or a transactional producer; waits until somebody does.
   * @throws CallError when it cannot be found out for good, or `signal` is aborted
   */
  async coordinatorOf(channel: Channel, of: CoordinatorOf, name: string, signal: AbortSignal): Promise<Address> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { error, address } = await this.anyBroker(at => channel.findCoordinator(at, of, name));
        if (error === code.none) return address;
        if (!isStaleCoordinator(error)) throw of === "group" ? groupRefused(name, error) : producerRefused(name, error);
      } catch (error) {
        if (!(error instanceof CallError) || error.isFinal) throw error;
      }
      await pause(this.#platform.clock, this.pauseMs(attempt), signal);
      if (signal.aborted) throw new CallError(`${of} ${name}: nobody waits for its coordinator any more`, false, true);
    }
  }

  /** Before a call is repeated, in milliseconds. */
  pauseMs(attempt: number): number {
    const { random } = this.#platform;
    // Half of it is certain, so that nothing is hammered.
    return backoffDelayMs(callAgain, attempt, 0, random) * (0.5 + 0.5 * random.next());
  }

  close(): void {
    this.#closed.abort();
  }
}

export function producerRefused(transactionalId: string, error: number): BrokerError {
  if (error === code.transactionalIdAuthorizationFailed) {
    const prefix = transactionalId.replace(/\.[^.]*$/, ".");
    return new BrokerError(
      `kafka: the user of the URL may not use the transactional id ${JSON.stringify(transactionalId)}; allow WRITE and DESCRIBE on it (kafka-acls --add --allow-principal … --operation Write --operation Describe --transactional-id ${prefix} --resource-pattern-type prefixed)`,
    );
  }
  return new BrokerError(
    `kafka: the transactional id ${JSON.stringify(transactionalId)} was refused: ${codeText(error)}`,
  );
}

export function groupRefused(group: string, error: number): BrokerError {
  if (error === code.groupAuthorizationFailed) {
    return new BrokerError(
      `kafka: the user of the URL may not consume as group ${JSON.stringify(group)}; allow READ on that group (kafka-acls --add --allow-principal … --operation Read --group ${group})`,
    );
  }
  return new BrokerError(`kafka: group ${JSON.stringify(group)} was refused with error code ${error}`);
}
