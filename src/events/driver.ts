import type { EventContract } from "../contract/index.ts";
import type { Observer, Platform } from "../platform/index.ts";
import type { BrokerOptions } from "./broker.ts";
import type { DeadLetterReason, DeadLetterStore } from "./dead-letter.ts";
import type { EventIds } from "./event-id.ts";
import type { AttemptHistory, EventRecord, StoredRecord } from "./record.ts";

/**
 * The port that every broker implements. A driver moves records and keeps what a broker keeps; it never decodes a body,
 * never runs a handler and never decides what a failure means: that is the consumer runtime's, and the same for all.
 *
 * Records come in lanes. Log brokers (memory, embedded, Kafka) have a lane for each assigned partition, where settling means
 * a watermark; RabbitMQ has one for each channel, where it means an acknowledgement. To the runtime both are `settle`.
 */
export interface BrokerDriver extends AsyncDisposable {
  /** For messages: `sqlite`, `rabbitmq`. */
  readonly name: string;
  readonly capabilities: BrokerCapabilities;
  /**
   * Makes records durable. Resolves when the broker has confirmed or refused each: `undefined`, or why not, at the same
   * index. Records of one key keep their order, also over calls that overlap and over reconnects. Rejects only when closed.
   */
  publish(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]>;
  /**
   * Makes sure that topics can be published to; makes those that are missing where it may.
   * @throws BrokerError that names what is missing and what to do
   */
  prepare(topics: readonly string[]): Promise<void>;
  /**
   * Resolves when a record could be published at once; for those who collect records before they publish them.
   * @throws PublishError when it never could, or not now
   */
  ready?(record: EventRecord): Promise<void>;
  /** Told once how events are found by topic and type, for drivers that must know schemas. */
  knowEvents?(find: (topic: string, type: string) => EventContract | undefined): void;
  /**
   * Begins to feed `sink`. Resolves when the group exists at the broker, so that what is published from now on reaches it.
   * @throws BrokerError for a demand that the broker cannot meet, before anything is consumed
   */
  subscribe(demand: SubscriptionDemand, sink: RecordSink): Promise<DriverSubscription>;
  /** The way back for replies to requests; `undefined` where there is none, and `request` and `onRequest` are refused then. */
  readonly replies?: ReplyPort | undefined;
  /** The dead letters of all groups. */
  readonly deadLetters: DeadLetterStore;
  /** The groups that the broker knows, with what waits for each. */
  groups(): Promise<readonly GroupStatus[]>;
  /** Reads topics without belonging to a group: from now on, or all that the broker still has (`capabilities.replay`). */
  tail(topics: readonly string[], from: "beginning" | "now", signal: AbortSignal): AsyncIterable<StoredRecord>;
  /** Whether the broker can be reached at the moment, with a word on why not: for readiness checks. */
  status(): { readonly isReady: boolean; readonly detail: string };
  /** Flushes publishes and ends. Subscriptions have been closed before. */
  close(): Promise<void>;
}

/** What a driver is made with. */
export interface DriverContext {
  readonly platform: Platform;
  readonly observer: Observer;
  readonly options: BrokerOptions;
  /** For what a driver has to name itself, such as dead letters. */
  readonly ids: EventIds;
}

/**
 * What `brokers/<name>/index.ts` exports as `connect<Name>`. Resolves when the broker has been reached once.
 * @throws BrokerError for a URL that means nothing, naming the part that is wrong
 */
export type ConnectDriver = (url: string, context: DriverContext) => Promise<BrokerDriver>;

/** What a broker can do, checked at start against what a subscription asks for. */
export interface BrokerCapabilities {
  /** How a record comes back later: by the broker's own timer, by a ladder of queues, or not at all. */
  readonly delay: "native" | "ladder" | "none";
  /** Whether a group's records can come back to it later (`retryLater`) although publishes cannot be delayed. @default whether `delay` is not "none" */
  readonly retryLater?: boolean | undefined;
  /** Whether new groups can read what was published before them. */
  readonly replay: boolean;
  /** Whether what handlers publish can become durable together with the settlement of their event. */
  readonly transactions: boolean;
  /** Whether there is a way back for replies (`BrokerDriver.replies`). @default false */
  readonly requests?: boolean | undefined;
  /** The strictest order that subscriptions can have unless their options say otherwise. */
  readonly order: "key" | "partition" | "none";
  /** Whether parked keys move to the broker when they are too much for memory (`Lane.parking`). @default false */
  readonly parking?: boolean | undefined;
  /** Largest body in bytes. */
  readonly bodyBytesMax: number;
}

/** Why a record is not durable. */
export interface PublishFailure {
  /** `false`: the same record will be refused again. */
  readonly isRetryable: boolean;
  readonly error: Error;
  /** Nobody is there to get it. A request fails at once then: it does not wait for somebody to come. @default false */
  readonly isUnroutable?: boolean | undefined;
}

/**
 * Replies on a broker: what an exclusive queue is to RabbitMQ and a topic of one's own to a log. Replies are not durable
 * beyond the process that waits for them, and belong to no group.
 */
export interface ReplyPort {
  /**
   * Makes the address of this connection; called once, or again after it has failed. What is sent there from now on comes to
   * `receive`, outside of any context, also after a reconnect, until the driver closes. What comes twice is the receiver's affair.
   * @throws BrokerError that says what is missing
   */
  open(receive: (record: StoredRecord) => void): Promise<string>;
  /** Whether it is an address for replies and can be nothing else: no topic or queue of events is ever one. */
  accepts(address: string): boolean;
  /**
   * Sends one reply; its topic is the address. Never makes what is not there.
   * @returns why it is not there for the one who waits; `isRetryable` where that one may come back
   */
  send(reply: EventRecord): Promise<PublishFailure | undefined>;
}

export type Order = "key" | "partition" | "none";

export interface SubscriptionDemand {
  readonly group: string;
  readonly topics: readonly string[];
  /** Types that have handlers; RabbitMQ binds its queue with them unless told otherwise. */
  readonly types: readonly string[];
  readonly order: Order;
  /** Handlers that run at once at most. */
  readonly concurrency: number;
  /** Events of the largest batch that a handler asks for; 1 without batch handlers. */
  readonly largestBatch: number;
  /** Events that handlers have at once: `concurrency` without batch handlers. A driver with prefetch takes at least as many. */
  readonly eventsAtOnce: number;
  /** Where a new group begins. */
  readonly from: "beginning" | "now";
  /** What handlers publish becomes durable with the settlement, or not at all (`settleWith`). @default false */
  readonly isTransactional?: boolean | undefined;
  /** Options that only one broker understands, by its name. */
  readonly specific: Readonly<Record<string, unknown>>;
}

/** A source of records in an order: a partition while it is assigned, a channel of RabbitMQ. */
export interface Lane {
  /**
   * `orders/3`, `order_processing`. The lane that comes after a re-assignment or a reconnect is another object of the same
   * name: its records wait for handlers of the same key that still run on the one before.
   */
  readonly name: string;
  /** Whether order within it means anything. */
  readonly isOrdered: boolean;
  /** The record is done with: it never comes again to this group, except after a crash. May be called in any order. */
  settle(record: StoredRecord): void;
  /** The record was not begun, or must come again soon: somebody else may have it. */
  release(record: StoredRecord): void;
  /**
   * As `settle`, and publishes records with it: all of it becomes durable, or nothing. Only of subscriptions whose demand is
   * transactional.
   */
  settleWith?(record: StoredRecord, outputs: readonly EventRecord[]): void;
  /**
   * Before a handler runs: makes durable that an attempt begins, where a crash could otherwise be forgotten. `undefined`
   * when nothing is to be done for this record, which is the common case. Called before every attempt of the record.
   *
   * @param attempts how many have begun before this one, `record.history.attempts` included
   */
  begin?(record: StoredRecord, attempts: number): Promise<void> | undefined;
  /** Stops the flow of new records, after those that are already on their way; never leaves the group. */
  pause(): void;
  /** Lets records flow again, but none before it has returned. */
  resume(): void;
  /** Where sequences wait at the broker that are too much for memory; `undefined`: nowhere, so that the lane pauses for them. */
  readonly parking?: ParkingPlace | undefined;
}

/**
 * What a group keeps at the broker of the records of one lane whose keys wait for another attempt. It belongs to whoever has
 * the lane, and its records to the lane: in each key they come before what the lane itself still has.
 *
 * For a key that is here, the runtime brings everything here that the lane delivers of it, until the last one is settled. So
 * whatever the lane delivers once more after a crash, up to the newest one that is here, is here or was done with before (`knows`).
 */
export interface ParkingPlace {
  /** What an earlier owner has left, known before the lane delivers anything. */
  readonly found: readonly FoundSequence[];
  /** So many more records may be brought. */
  readonly room: number;
  /**
   * Whether a record of the lane, of a key that was found, is here already, or was done with before those that are: it came
   * once more after a crash, and is only to be settled.
   */
  knows(key: string, record: StoredRecord): boolean;
  /**
   * Appends, in this order; the runtime settles the originals afterwards. One call at a time. When it rejects, some may have
   * been appended all the same; the same ones are brought again.
   */
  park(records: readonly RecordToPark[]): Promise<void>;
  /** The oldest records of a key that are not out already, so many at most. */
  recall(key: string, recordsMax: number): Promise<Recalled>;
  /** As of a lane, for records that were recalled. */
  settle(record: StoredRecord): void;
  begin(record: StoredRecord, attempts: number): Promise<void> | undefined;
  /** Recalled records, the oldest that are out of their key, wait here again. @param dueAtMs for the first of them, with its history */
  putBack(records: readonly StoredRecord[], dueAtMs: number, history: AttemptHistory): void;
}

/** The records of a key that wait at the broker. */
export interface FoundSequence {
  readonly key: string;
  readonly records: number;
  /** When the first may be tried, in milliseconds since 1970-01-01 UTC. */
  readonly dueAtMs: number;
}

export interface RecordToPark {
  readonly record: StoredRecord;
  /** What the runtime orders it by; for one that it orders by nothing, a name of its own. */
  readonly key: string;
  readonly history: AttemptHistory;
  /** Not to be tried before, in milliseconds since 1970-01-01 UTC; 0: as soon as those before it are done with. */
  readonly dueAtMs: number;
}

export interface Recalled {
  readonly records: readonly StoredRecord[];
  /** Records that should be here and are not any more. */
  readonly missing: number;
}

/**
 * What the runtime gives to a driver. Called outside of any ambient context; nothing here throws. Handlers may run inside of
 * `records`, so that a driver hands over a few hundred at a time, and takes a turn of the event loop between two hand-overs.
 */
export interface RecordSink {
  /** A lane has come, and the one of the same name before it has gone. Records follow. May pause the lane at once. */
  opened(lane: Lane): void;
  records(lane: Lane, records: readonly StoredRecord[]): void;
  /**
   * The lane is being taken away: resolves when its running handlers have ended and been settled, or `budgetMs` have
   * passed; what had not begun is forgotten. Whatever is settled on the lane afterwards counts for nothing.
   */
  revoke(lane: Lane, budgetMs: number): Promise<void>;
  /** The lane is gone already: nothing that it held may be settled. */
  lost(lane: Lane): void;
  /** The subscription cannot go on. */
  failed(error: Error): void;
}

/** A running subscription, seen by the runtime. Each promise resolves when the broker has made the move durable. */
export interface DriverSubscription {
  /**
   * Lets a record come to this group again, not before `delayMs` from now, behind others of its key that are there by then.
   * The runtime settles the original afterwards.
   */
  retryLater(record: StoredRecord, delayMs: number, history: AttemptHistory): Promise<void>;
  /** Puts a record among the dead letters of the group. The runtime settles the original afterwards. */
  deadLetter(record: StoredRecord, details: DeathDetails): Promise<void>;
  /** No further records; those that were delivered can still be settled. */
  stop(): Promise<void>;
  /** Makes all settlements durable, leaves the group. What was not settled comes again. */
  close(): Promise<void>;
}

/** What the runtime knows of a record that is given up. */
export interface DeathDetails extends AttemptHistory {
  readonly reason: DeadLetterReason;
  /** Of the last failure: name, message and stack, cut to a few kilobytes. */
  readonly exception: string | undefined;
  /** Which process gave it up. */
  readonly consumer: string;
  /** The contract that it was held against, where one was found. */
  readonly contract: string | undefined;
}

export interface GroupStatus {
  readonly group: string;
  readonly topic: string;
  /** Partition or queue. */
  readonly lane: string;
  /** Records that wait; those in work included. */
  readonly lag: number;
  /** Age of the oldest that waits, in milliseconds; `undefined` where the broker does not say. */
  readonly oldestAgeMs: number | undefined;
  readonly consumers: number | undefined;
}
