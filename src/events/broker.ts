import type { DescFile, DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { EventContract } from "../contract/index.ts";
import type { Observer, Platform, Priority } from "../platform/index.ts";
import type { DeadLetter, DeadLetterEdit, DeadLetterFilter } from "./dead-letter.ts";
import type { BrokerCapabilities, GroupStatus, Order, PublishFailure } from "./driver.ts";
import type { Delivery, EventHandler } from "./handler.ts";
import type { EventRecord, StoredRecord } from "./record.ts";
import type { ReplyContract } from "./requests/reply-contract.ts";

/** A connection to a broker, made by `connectBroker`: the same on every broker. */
export interface Broker extends AsyncDisposable {
  /** `memory`, `sqlite`, `rabbitmq`, `kafka`. */
  readonly name: string;
  readonly capabilities: BrokerCapabilities;
  /**
   * Resolves when the broker has the event durably. Calls of a few milliseconds go together; events of one key keep the
   * order of the calls.
   * @throws PublishError when it is not durable; ContractError when the message is no event
   */
  publish<D extends DescMessage>(schema: D, event: MessageInitShape<D>, options?: PublishOptions): Promise<Published>;
  /** As `publish` for each, at once; rejects with an AggregateError of PublishErrors that names the indices. */
  publishAll<D extends DescMessage>(
    schema: D,
    events: Iterable<MessageInitShape<D>> | AsyncIterable<MessageInitShape<D>>,
    options?: Omit<PublishOptions, "id" | "key">,
  ): Promise<readonly Published[]>;
  /**
   * Publishes a request and waits for its reply, which a handler made by `onRequest` sends, or any other program. It travels
   * like an event, but no further than its deadline: handlers do not get it afterwards, and it is no dead letter then.
   *
   * @throws RpcError with the code that the handler threw; `deadline_exceeded` when there was no reply in time, `unavailable`
   * when nobody is there to get the request or the broker is closed, `cancelled` by the signal, `resource_exhausted` when too
   * many requests wait, `internal` for a reply that cannot be read. Except for `resource_exhausted` and `unavailable` because
   * nobody is there, it may have been handled all the same.
   * PublishError or ContractError for a message that no broker would take
   */
  request<Q extends DescMessage, A extends DescMessage>(
    schema: Q,
    reply: A,
    request: MessageInitShape<Q>,
    options?: RequestOptions,
  ): Promise<MessageShape<A>>;
  /** What `publish` would send, without sending it: for outboxes. The trace and priority are those of the current work. */
  encode<D extends DescMessage>(
    schema: D,
    event: MessageInitShape<D>,
    options?: Omit<PublishOptions, "signal">,
  ): EventRecord;
  /**
   * Publishes records that are made already, like `publish`: for outboxes and bridges. Resolves, in the same order, with
   * why a record is not durable; a record behind a failed one of its key has failed too, unless that will never be taken.
   */
  forward(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]>;
  /**
   * Handles events for a group: each goes to one member of it. Resolves when the group exists at the broker.
   * @throws BrokerError when the broker cannot do what is asked
   */
  subscribe(options: SubscribeOptions, ...handlers: readonly EventHandler[]): Promise<Subscription>;
  deadLetters(filter?: DeadLetterFilter): AsyncIterable<HeldLetter>;
  groups(): Promise<readonly GroupStatus[]>;
  /** Reads topics without belonging to a group. */
  tail(topics: readonly string[], options?: TailOptions): AsyncIterable<StoredRecord>;
  /** What it is for at the moment: for documents and tools. */
  describe(): BrokerDescription;
  /** For a server's readiness checks. */
  status(): { readonly isReady: boolean; readonly detail: string };
  /** Drains all subscriptions, flushes publishes, closes. */
  close(options?: DrainOptions): Promise<void>;
}

/** What a connection to a broker is for. */
export interface BrokerDescription {
  /** `memory`, `sqlite`, `rabbitmq`, `kafka`. */
  readonly name: string;
  /** CloudEvents `source` of what is published. */
  readonly source: string;
  /** How bodies are written. */
  readonly contentType: NonNullable<BrokerOptions["contentType"]>;
  /** Those that have not ended. */
  readonly subscriptions: readonly SubscriptionDescription[];
}

/** An event that is replied to, and with what. */
export interface RequestContract {
  readonly request: EventContract;
  readonly reply: ReplyContract;
}

export interface SubscriptionDescription {
  readonly group: string;
  /** That have a handler. */
  readonly events: readonly EventContract[];
  /** Those of the events that are replied to. */
  readonly requests: readonly RequestContract[];
  readonly order: Order;
  readonly onFailure: OnFailure;
  /** Only on RabbitMQ. */
  readonly queue: string | undefined;
}

export interface BrokerOptions {
  /** CloudEvents `source` of what is published. @default "/" and the name of the main module's folder */
  readonly source?: string | undefined;
  /** How bodies are written. Both are read always. @default "application/json" */
  readonly contentType?: "application/json" | "application/protobuf" | undefined;
  readonly gather?: GatherOptions | undefined;
  /**
   * Files of contracts whose events are known beside those of handlers and publishes (and of their files): a known type
   * without a handler is passed over, an unknown one is not.
   */
  readonly contracts?: readonly DescFile[] | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
  /** Topics that are missing are made. @default true, except on Kafka */
  readonly createTopics?: boolean | undefined;
  /** Requests that wait for their replies at once; one more is refused. @default 10,000 */
  readonly pendingRequestsMax?: number | undefined;
  /**
   * Allows addresses to reply to beside those that Trunkline makes (and server-named queues on RabbitMQ): for requesters in
   * other languages that choose a name. Whoever can publish a request chooses what is asked for here, so it must never allow
   * the name of a queue or topic that means something else.
   */
  readonly isReplyAddress?: ((address: string) => boolean) | undefined;
  /** Only for Kafka. */
  readonly kafka?: KafkaBrokerOptions | undefined;
}

export interface KafkaBrokerOptions {
  /** For a URL with `sasl=oauthbearer`. */
  readonly oauth?: KafkaOauthOptions | undefined;
  /** Bodies are framed as Confluent's clients do it, with schemas in a registry. Makes `contentType` "application/protobuf". */
  readonly schemaRegistry?: SchemaRegistryOptions | undefined;
}

/** A registry with the REST API of Confluent's: its own, Karapace, Apicurio (`/apis/ccompat/v7`). */
export interface SchemaRegistryOptions {
  /** `https://registry:8081`, with a path where there is one. */
  readonly url: string;
  readonly auth?:
    | { readonly username: string; readonly password: string }
    | { readonly token: string | (() => string | Promise<string>) }
    | undefined;
  /** PEM: trusted roots instead of the system's. */
  readonly ca?: string | undefined;
  /** Schemas of published events that are missing are registered; otherwise they must be there. @default false */
  readonly registers?: boolean | undefined;
  /** What the subject of a schema is called: `<topic>-value`, the message's full name, or both. @default "topic-name" */
  readonly subjects?: "topic-name" | "record-name" | "topic-record-name" | undefined;
}

/** SASL OAUTHBEARER (RFC 7628). */
export interface KafkaOauthOptions {
  /**
   * The bearer token, or what makes one: called before the first connection, and again when four fifths of a token's time
   * are over; connections that are open authenticate anew with it. It has 10 s.
   */
  readonly token: string | (() => OauthToken | Promise<OauthToken>);
  /** SASL extensions, as some services want them beside the token: `{ logicalCluster: "lkc-1" }`. */
  readonly extensions?: Readonly<Record<string, string>> | undefined;
}

export interface OauthToken {
  readonly token: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly expiresAtMs: number;
}

/** When gathered publishes leave: at whichever limit comes first. */
export interface GatherOptions {
  /** Age of the first, in milliseconds; never prolonged by later ones. @default 2 */
  readonly maxAgeMs?: number | undefined;
  /** @default 500 */
  readonly recordsMax?: number | undefined;
  /** Of bodies together. @default 512 KiB */
  readonly bytesMax?: number | undefined;
  /** Bodies that wait or are unconfirmed; beyond it publishes wait for room. @default 64 MiB */
  readonly pendingBytesMax?: number | undefined;
}

export interface PublishOptions {
  /** @default the contract's key field */
  readonly key?: string | undefined;
  /** The same id for the same event, so that an inbox can tell. @default a UUIDv7 */
  readonly id?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** When it happened. @default now */
  readonly timeMs?: number | undefined;
  /** Handlers do not get it afterwards; milliseconds since 1970-01-01 UTC. @default never */
  readonly expiresAtMs?: number | undefined;
  /** Handlers do not get it before. Needs `capabilities.delay`. */
  readonly notBeforeMs?: number | undefined;
  /** @default that of the work in which it is published */
  readonly priority?: Priority | undefined;
  /** Gives up waiting; the event may have been published all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface RequestOptions {
  /** Time for everything, in milliseconds, up to an hour; never more than is left of the work in which it is asked. @default 30,000 */
  readonly timeoutMs?: number | undefined;
  /** @default the contract's key field */
  readonly key?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** @default that of the work in which it is asked */
  readonly priority?: Priority | undefined;
  /** Gives up waiting; the request may be handled all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface Published {
  readonly id: string;
}

/** What becomes of later events of a key while an earlier one waits for another attempt. */
export type OnFailure = "park-key" | "block" | "unordered";

export interface RetryScheduleOptions {
  /** All attempts, the first included. @default 8: with the other defaults over a little more than nine minutes */
  readonly maxAttempts?: number | undefined;
  /** Attempts right after the first, with short pauses, before the delayed ones. @default 2 */
  readonly immediate?: number | undefined;
  /** Longest pause before the first of those; doubles; any part of it, by chance. @default 25 */
  readonly immediateDelayMs?: number | undefined;
  /** Before the first delayed attempt. @default 3,000 */
  readonly initialDelayMs?: number | undefined;
  /** What the delay grows by. @default 4 */
  readonly factor?: number | undefined;
  /** @default 300,000 */
  readonly maxDelayMs?: number | undefined;
}

export interface SubscribeOptions {
  /** Who consumes, for example `order-processor`: 1 to 200 of A-Z a-z 0-9 . _ - */
  readonly group: string;
  /** Handlers that run at once. @default 16 */
  readonly concurrency?: number | undefined;
  /** @default the strictest that the broker keeps */
  readonly order?: Order | undefined;
  readonly retry?: RetryScheduleOptions | undefined;
  /** @default "park-key" with `order: "key"`, "block" with "partition", otherwise "unordered" */
  readonly onFailure?: OnFailure | undefined;
  /** What is done with a type that no loaded contract knows. @default "dead-letter" */
  readonly unknownTypes?: "dead-letter" | "ignore" | undefined;
  /** Where a new group begins. @default "beginning" where the broker can replay */
  readonly from?: "beginning" | "now" | undefined;
  /** Deadline of a handler; calls made in it inherit what is left. @default 30,000 */
  readonly handlerTimeoutMs?: number | undefined;
  readonly middleware?: readonly Middleware[] | undefined;
  /**
   * What handlers publish through this connection becomes durable together with the settlement of their event, or not at
   * all: a publish in a handler resolves when it belongs to the transaction. Needs `capabilities.transactions`. @default false
   */
  readonly transactions?: boolean | undefined;
  /** Only for RabbitMQ. */
  readonly rabbitmq?: RabbitmqSubscribeOptions | undefined;
  /** Only for Kafka. */
  readonly kafka?: KafkaSubscribeOptions | undefined;
}

/** Runs around handlers; the first is the outermost. `next` runs the rest. */
export type Middleware = (event: object, delivery: Delivery, next: () => Promise<void>) => Promise<void>;

export interface RabbitmqSubscribeOptions {
  /** @default the group */
  readonly queue?: string | undefined;
  /** Routing keys, the same for each topic. @default the handled types */
  readonly bindings?: readonly string[] | undefined;
  /** Unacknowledged deliveries. @default twice the concurrency */
  readonly prefetch?: number | undefined;
  /** For a queue that does not exist yet; existing ones are used as they are. @default "quorum" */
  readonly queueType?: "quorum" | "classic" | undefined;
  /** One consumer at a time has the queue, so that keys keep their order. @default false */
  readonly singleActiveConsumer?: boolean | undefined;
  /** So many queues behind a consistent-hash exchange, each with one active consumer. @default none */
  readonly partitions?: number | undefined;
}

export interface KafkaSubscribeOptions {
  /** @default "classic" */
  readonly protocol?: "classic" | "consumer" | undefined;
  /** `group.instance.id`: a restart within the session time-out moves no partitions. */
  readonly staticMemberId?: string | undefined;
  /** @default 45,000 */
  readonly sessionTimeoutMs?: number | undefined;
}

export interface TailOptions {
  /** @default "now" */
  readonly from?: "beginning" | "now" | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DrainOptions {
  /** How long running handlers may go on before their signal is aborted. @default 25,000 */
  readonly timeoutMs?: number | undefined;
}

/** A group's member at work. */
export interface Subscription extends AsyncDisposable {
  readonly group: string;
  /** Figures of this member. */
  stats(): SubscriptionStats;
  /** Settles when the subscription has ended: rejects when it could not go on. */
  readonly ended: Promise<void>;
  /** Stops taking events, gives back what has not begun, waits for handlers, makes settlements durable. */
  drain(options?: DrainOptions): Promise<void>;
}

export interface SubscriptionStats {
  readonly handled: number;
  readonly ignored: number;
  readonly failedAttempts: number;
  readonly retried: number;
  readonly deadLettered: number;
  /** Requests that nobody waited for any more. */
  readonly expiredRequests: number;
  readonly running: number;
  /** Received and not begun. */
  readonly waiting: number;
  /** Keys that wait for another attempt of an event. */
  readonly parkedKeys: number;
  /** Those events and the ones behind them, wherever they wait. */
  readonly parkedEvents: number;
  /** Of the parked events, those that wait at the broker instead of in memory. */
  readonly parkedAtBroker: number;
}

/** A dead letter in the hand. */
export interface HeldLetter extends DeadLetter {
  /** Gives it back to its group. With `dryRun` nothing happens but the check that it could. */
  replay(options?: { readonly dryRun?: boolean | undefined }): Promise<void>;
  discard(): Promise<void>;
  edit(change: DeadLetterEdit): Promise<HeldLetter>;
}
