import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileEvent, type Validate, validation } from "../contract/index.ts";
import {
  contextValue,
  type Observer,
  outsideContext,
  type Platform,
  silentObserver,
  systemPlatform,
} from "../platform/index.ts";
import type {
  Broker,
  BrokerDescription,
  BrokerOptions,
  DrainOptions,
  HeldLetter,
  Published,
  PublishOptions,
  RequestOptions,
  SubscribeOptions,
  Subscription,
  SubscriptionDescription,
  TailOptions,
} from "./broker.ts";
import type { DeadLetterFilter } from "./dead-letter.ts";
import type { BrokerCapabilities, BrokerDriver, GroupStatus, PublishFailure } from "./driver.ts";
import { BrokerError, PublishError } from "./errors.ts";
import { EventIds } from "./event-id.ts";
import { EventWriter } from "./event-writer.ts";
import { Forwarding } from "./forwarding.ts";
import type { EventHandler } from "./handler.ts";
import { LetterInHand } from "./held-letter.ts";
import { publishAllErrorsMax } from "./limits.ts";
import { PublishAll } from "./publish-all.ts";
import { Publisher } from "./publisher.ts";
import type { EventRecord, StoredRecord } from "./record.ts";
import { Requester, Responder } from "./requests/index.ts";
import { EventCatalog } from "./runtime/catalog.ts";
import { Consumer } from "./runtime/consumer.ts";
import { type Handling, handlingOf } from "./runtime/handling.ts";
import { bufferedBytesMax, bufferedRecordsMax, drainTimeoutMs, parkedShare } from "./runtime/limits.ts";
import { type HandlerOutputs, handlerOutputs } from "./runtime/outputs.ts";
import { checkSubscription } from "./runtime/subscribe-options.ts";
import { RunningSubscription } from "./runtime/subscription.ts";
import { TopicGate } from "./topic-gate.ts";
import { WaitingPublish } from "./waiting-publish.ts";

/**
 * A broker over a driver: what all brokers have in common. For authors of drivers; everybody else uses `connectBroker`.
 *
 * @throws BrokerError for an option out of range; ContractError for a contract of `options.contracts` that cannot be used
 */
export function createBroker(driver: BrokerDriver, options: BrokerOptions = {}): Broker {
  return new DrivenBroker(driver, options);
}

class DrivenBroker implements Broker {
  readonly name: string;
  readonly capabilities: BrokerCapabilities;
  readonly #driver: BrokerDriver;
  readonly #platform: Platform;
  readonly #observer: Observer;
  readonly #catalog = new EventCatalog();
  readonly #writer: EventWriter;
  readonly #publisher: Publisher;
  readonly #topics: TopicGate;
  readonly #requester: Requester;
  /** `undefined`: there is no way back to those who ask. */
  readonly #responder: Responder | undefined;
  readonly #source: string;
  readonly #contentType: BrokerDescription["contentType"];
  readonly #subscriptions = new Map<RunningSubscription, SubscriptionDescription>();
  /** Why a subscription has ended that nobody had asked to. */
  #failure: { readonly group: string; readonly error: Error } | undefined;
  #closing: Promise<void> | undefined;

  constructor(driver: BrokerDriver, options: BrokerOptions) {
    this.name = driver.name;
    this.capabilities = driver.capabilities;
    this.#driver = driver;
    this.#platform = options.platform ?? systemPlatform;
    this.#observer = options.observer ?? silentObserver;
    this.#source = options.source ?? "/trunkline";
    this.#contentType = contentTypeOf(options, driver.name);
    this.#publisher = new Publisher(driver, this.#platform, this.#observer, options.gather);
    this.#topics = new TopicGate(driver, this.#publisher);
    const { bodyBytesMax, delay } = driver.capabilities;
    this.#writer = new EventWriter(this.#platform, new EventIds(this.#platform), {
      source: this.#source,
      contentType: this.#contentType,
      bodyBytesMax,
      canDelay: delay !== "none",
      brokerName: driver.name,
    });
    for (const file of options.contracts ?? []) this.#catalog.learn(file);
    driver.knowEvents?.((topic, type) => this.#catalog.topic(topic).byType(type));
    const shared = { writer: this.#writer, platform: this.#platform, observer: this.#observer };
    const asking = { driver, publisher: this.#publisher, topics: this.#topics, pendingMax: options.pendingRequestsMax };
    this.#requester = new Requester({ ...shared, ...asking });
    const { isReplyAddress } = options;
    this.#responder =
      driver.replies && new Responder({ ...shared, port: driver.replies, isReplyAddress, brokerName: driver.name });
  }

  publish<D extends DescMessage>(schema: D, event: MessageInitShape<D>, options?: PublishOptions): Promise<Published> {
    let record: EventRecord;
    try {
      options?.signal?.throwIfAborted();
      this.#refuseClosed();
      record = this.#writer.write(schema, event, options);
      this.#catalog.learn(schema.file);
    } catch (error) {
      return Promise.reject(error);
    }
    const outputs = this.#outputs();
    if (outputs !== undefined) return this.#publishWith(outputs, record);
    return new Promise((resolve, reject) => {
      const waiting = new WaitingPublish(resolve, reject);
      const pending = this.#topics.add(record, waiting);
      if (options?.signal !== undefined) waiting.giveUpOn(options.signal, this.#publisher, pending);
    });
  }

  async publishAll<D extends DescMessage>(
    schema: D,
    events: Iterable<MessageInitShape<D>> | AsyncIterable<MessageInitShape<D>>,
    options?: Omit<PublishOptions, "id" | "key">,
  ): Promise<readonly Published[]> {
    options?.signal?.throwIfAborted();
    this.#refuseClosed();
    this.#catalog.learn(schema.file);
    const outputs = this.#outputs();
    if (outputs !== undefined) {
      const publishing: Promise<Published>[] = [];
      for await (const event of events) {
        options?.signal?.throwIfAborted();
        const one = this.#publishWith(outputs, this.#writer.write(schema, event, options));
        one.catch(() => {});
        publishing.push(one);
      }
      return allPublished(await Promise.allSettled(publishing));
    }
    await this.#topics.answered(compileEvent(schema).topic);
    const all = new PublishAll(this.#publisher, this.#topics, this.#platform.clock, options?.signal !== undefined);
    return all.run(events, message => this.#writer.write(schema, message, options), options?.signal);
  }

  request<Q extends DescMessage, A extends DescMessage>(
    schema: Q,
    reply: A,
    request: MessageInitShape<Q>,
    options: RequestOptions = {},
  ): Promise<MessageShape<A>> {
    this.#catalog.learn(schema.file);
    return this.#requester.request(schema, reply, request, options);
  }

  encode<D extends DescMessage>(
    schema: D,
    event: MessageInitShape<D>,
    options?: Omit<PublishOptions, "signal">,
  ): EventRecord {
    // Who keeps the record until its time needs no broker that can.
    return this.#writer.write(schema, event, options, true);
  }

  forward(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    const outputs = this.#outputs();
    if (outputs === undefined) return Forwarding.run(this.#publisher, this.#topics, records);
    return Promise.all(
      records.map(record =>
        this.#publishWith(outputs, record).then(
          () => undefined,
          (error: PublishError) => ({ isRetryable: error.isRetryable, error }),
        ),
      ),
    );
  }

  /** Of the handler of a transactional subscription that this is called in. */
  #outputs(): HandlerOutputs | undefined {
    const outputs = contextValue(handlerOutputs);
    return outputs?.owner === this ? outputs : undefined;
  }

  async #publishWith(outputs: HandlerOutputs, record: EventRecord): Promise<Published> {
    outputs.add(record);
    try {
      await this.#topics.ensure(record.topic);
      await this.#driver.ready?.(record);
    } catch (error) {
      outputs.remove(record);
      throw error;
    }
    return { id: record.id };
  }

  async subscribe(options: SubscribeOptions, ...handlers: readonly EventHandler[]): Promise<Subscription> {
    this.#refuseClosed();
    const checked = checkSubscription(options, handlers, this.#driver);
    this.#refuseReplies(options.group, handlers);
    for (const { event } of handlers) this.#catalog.learn(event.desc.file);
    const handlings = await this.#handlings(handlers, options);
    const { demand } = checked;
    await this.#driver.prepare(demand.topics);
    const recordsMax = Math.max(bufferedRecordsMax, demand.eventsAtOnce * 2);
    let running: RunningSubscription | undefined;
    let failure: Error | undefined;
    const consumer = new Consumer(
      {
        group: demand.group,
        concurrency: demand.concurrency,
        order: demand.order,
        onFailure: checked.onFailure,
        schedule: checked.schedule,
        unknownTypes: checked.unknownTypes,
        handlerTimeoutMs: checked.handlerTimeoutMs,
        limits: {
          recordsMax,
          bytesMax: bufferedBytesMax,
          parkedMax: Math.max(1, Math.floor(recordsMax * parkedShare)),
          parkedBytesMax: bufferedBytesMax * parkedShare,
        },
        canRetryLater: this.capabilities.retryLater ?? this.capabilities.delay !== "none",
        handlings,
        consumer: this.#source,
        transaction: demand.isTransactional === true ? this : undefined,
      },
      this.#catalog,
      this.#platform,
      this.#observer,
      error => {
        failure ??= error;
        if (running !== undefined) this.#failed(running, error);
      },
    );
    // The driver's connections and timers serve the subscription, not the work in which it was made.
    const driverHalf = await outsideContext(() => this.#driver.subscribe(demand, consumer));
    running = new RunningSubscription(demand.group, consumer, driverHalf, this.#observer, ended =>
      this.#subscriptions.delete(ended),
    );
    this.#subscriptions.set(running, {
      group: demand.group,
      events: handlers.map(({ event }) => event),
      requests: handlers.flatMap(({ event, reply }) => (reply === undefined ? [] : [{ request: event, reply }])),
      order: demand.order,
      onFailure: checked.onFailure,
      queue: this.name === "rabbitmq" ? (options.rabbitmq?.queue ?? demand.group) : undefined,
    });
    outsideContext(() => consumer.attach(driverHalf));
    if (failure !== undefined) this.#failed(running, failure);
    if (this.#closing !== undefined) {
      await running.drain();
      throw new BrokerError(`subscribe (group ${demand.group}): the broker was closed meanwhile`);
    }
    return running;
  }

  async #handlings(
    handlers: readonly EventHandler[],
    { middleware = [] }: SubscribeOptions,
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, Handling>>> {
    const topics = new Map<string, Map<string, Handling>>();
    for (const handler of handlers) {
      const { topic, type, desc } = handler.event;
      const validate: Validate | undefined = await validation(desc);
      const types = topics.get(topic) ?? new Map<string, Handling>();
      topics.set(topic, types.set(type, handlingOf(handler, validate, middleware, this.#responder)));
    }
    return topics;
  }

  #refuseReplies(group: string, handlers: readonly EventHandler[]): void {
    const asked = this.#responder === undefined ? handlers.find(({ reply }) => reply !== undefined) : undefined;
    if (asked === undefined) return;
    throw new BrokerError(
      `subscribe (group ${group}): ${asked.event.type} is to be replied to, and ${this.name} has no way back for replies`,
    );
  }

  #failed(subscription: RunningSubscription, error: Error): void {
    this.#failure = { group: subscription.group, error };
    subscription.fail(error);
  }

  async *deadLetters(filter: DeadLetterFilter = {}): AsyncGenerator<HeldLetter, void, undefined> {
    const { deadLetters } = this.#driver;
    for await (const letter of deadLetters.list(filter)) yield new LetterInHand(letter, deadLetters);
  }

  groups(): Promise<readonly GroupStatus[]> {
    return this.#driver.groups();
  }

  async *tail(topics: readonly string[], options: TailOptions = {}): AsyncGenerator<StoredRecord, void, undefined> {
    const { from = "now", signal } = options;
    if (from === "beginning" && !this.capabilities.replay) {
      throw new BrokerError(
        `tail: from is "beginning", and ${this.name} does not keep what has been consumed; use "now"`,
      );
    }
    const left = new AbortController();
    const stop = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
    try {
      yield* this.#driver.tail(topics, from, stop);
    } finally {
      left.abort();
    }
  }

  describe(): BrokerDescription {
    return {
      name: this.name,
      source: this.#source,
      contentType: this.#contentType,
      subscriptions: [...this.#subscriptions.values()],
    };
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    if (this.#closing !== undefined) return { isReady: false, detail: `${this.name}: closed` };
    if (this.#failure !== undefined) {
      const { group, error } = this.#failure;
      return { isReady: false, detail: `${this.name}: the subscription of ${group} has ended: ${error.message}` };
    }
    return this.#driver.status();
  }

  close(options: DrainOptions = {}): Promise<void> {
    this.#closing ??= outsideContext(() => this.#close(options.timeoutMs ?? drainTimeoutMs));
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    const drained = await Promise.allSettled([...this.#subscriptions.keys()].map(one => one.drain({ timeoutMs })));
    // Handlers that have asked somebody got their replies while they drained; nobody else is waited for.
    this.#requester.close();
    await this.#flush(timeoutMs);
    this.#publisher.close();
    await this.#driver.close();
    const failed = drained.filter(result => result.status === "rejected").map(({ reason }) => reason as unknown);
    // Those that had failed before have told so; this is about the drain itself.
    if (failed.length > 0 && this.#failure === undefined) {
      throw new BrokerError(`${this.name}: not every subscription was drained`, { cause: failed[0] });
    }
  }

  /** Waits for the answers of publishes, but not for ever. */
  async #flush(timeoutMs: number): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = this.#platform.clock.after(timeoutMs, resolve, true);
      void this.#topics
        .empty()
        .then(() => this.#publisher.flush())
        .then(() => {
          timer.cancel();
          resolve();
        });
    });
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) throw new PublishError(`${this.name}: the broker is closed`, false);
  }
}

/** @throws AggregateError as `publishAll` does */
function allPublished(settled: readonly PromiseSettledResult<Published>[]): readonly Published[] {
  const errors: PublishError[] = [];
  const published: Published[] = [];
  for (const [index, one] of settled.entries()) {
    if (one.status === "fulfilled") published.push(one.value);
    else {
      const { message, isRetryable = false } = one.reason as PublishError;
      errors.push(new PublishError(`event ${index}: ${message}`, isRetryable, { cause: one.reason }));
    }
  }
  if (errors.length === 0) return published;
  throw new AggregateError(
    errors.slice(0, publishAllErrorsMax),
    `publishAll: ${errors.length} events are not in the transaction`,
  );
}

function contentTypeOf(
  { contentType, kafka }: BrokerOptions,
  driverName: string,
): NonNullable<BrokerOptions["contentType"]> {
  if (driverName === "kafka" && kafka?.schemaRegistry !== undefined) {
    if (contentType === undefined || contentType === "application/protobuf") return "application/protobuf";
    throw new BrokerError(
      `connectBroker: contentType is ${JSON.stringify(contentType)}, and kafka.schemaRegistry frames Protobuf; leave contentType out`,
    );
  }
  if (contentType === undefined || contentType === "application/json") return "application/json";
  if (contentType === "application/protobuf") return contentType;
  throw new BrokerError(
    `connectBroker: contentType is ${JSON.stringify(contentType)}; it must be "application/json" or "application/protobuf"`,
  );
}
