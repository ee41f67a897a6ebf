import type { DatabaseSync } from "node:sqlite";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { type Observer, type Platform, silentObserver, systemPlatform } from "../../platform/index.ts";
import type { Broker, PublishOptions } from "../broker.ts";
import { isSqlite, type PostgresClient, type PostgresPool, runAfterCommit } from "../database/index.ts";
import type { EventRecord } from "../record.ts";
import type { OutboxEvent } from "./events.ts";
import { keepSentMsDefault, leaseMsDefault, pollMsDefault } from "./limits.ts";
import { PostgresOutboxStore } from "./postgres-store.ts";
import { Relay } from "./relay.ts";
import { SqliteOutboxStore } from "./sqlite-store.ts";
import type { OutboxCounts, OutboxStore, ParkedRow } from "./store.ts";

export interface OutboxOptions {
  readonly broker: Pick<Broker, "encode" | "forward">;
  /**
   * Whether this process also sends. Several may: they share the work. Where none does, events wait in the table.
   * @default true
   */
  readonly relay?: boolean | undefined;
  /** How long the work of a relay that has died stays with it. @default 10,000 */
  readonly leaseMs?: number | undefined;
  /** How often the relay looks without having been told. @default 250 */
  readonly pollMs?: number | undefined;
  /** How long rows are kept after they were sent. @default 3,600,000 */
  readonly keepSentMs?: number | undefined;
  /**
   * What becomes of later events of a key when the broker refuses one for good, for example because it is too large:
   * `hold-key` lets those that are not on their way yet wait until somebody has settled it, `skip` sends them. The refused
   * one is set aside in any case.
   * @default "hold-key"
   */
  readonly onRefused?: "hold-key" | "skip" | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

/** Events that are published with a transaction of the database: when it commits they are sent, otherwise they never were. */
export interface Outbox<Tx, Appended> extends AsyncDisposable {
  /**
   * Adds an event to the transaction that is open on `tx`. Events of a key are sent in the order in which transactions
   * commit that exclude one another, such as those that change the same row.
   * @throws CodecError, TypeError for an event that cannot be encoded
   */
  publish<D extends DescMessage>(
    tx: Tx,
    schema: D,
    event: MessageInitShape<D>,
    options?: Omit<PublishOptions, "signal">,
  ): Appended;
  /** As `publish` for each, with one statement where the database has it. */
  publishAll<D extends DescMessage>(
    tx: Tx,
    schema: D,
    events: Iterable<MessageInitShape<D>>,
    options?: Omit<PublishOptions, "signal" | "id" | "key">,
  ): Appended;
  /** Tells the relay of rows whose transaction was not one of `transaction()`; it would find them by polling. */
  wake(): void;
  counts(): Promise<OutboxCounts>;
  /** Events that the broker refused for good, oldest first. @param countMax @default 100 */
  refused(countMax?: number): Promise<readonly ParkedRow[]>;
  /** Sends a refused event again, or drops it, and lets its key go on. Resolves with whether there was one. */
  settleRefused(sequence: number, how: "retry" | "discard"): Promise<boolean>;
  /** Ends the relay after what it is sending. */
  close(): Promise<void>;
}

/**
 * An outbox in the user's database, whose tables are made where they are missing. It resolves when they are there.
 *
 * ```ts
 * const orders = await outbox({ database, broker });
 * await transaction(database, tx => { insertOrder(tx, order); orders.publish(tx, OrderCreatedSchema, { … }); });
 * ```
 * Each event arrives at least once, with the same id every time; an `inbox` removes the repeats.
 * @throws TypeError, RangeError for options that are wrong; Error when a newer version of this package made the tables
 */
export function outbox(
  options: OutboxOptions & { readonly database: DatabaseSync },
): Promise<Outbox<DatabaseSync, undefined>>;
export function outbox(
  options: OutboxOptions & { readonly database: PostgresPool },
): Promise<Outbox<PostgresClient, Promise<void>>>;
export async function outbox(
  options: OutboxOptions & { readonly database: DatabaseSync | PostgresPool },
): Promise<Outbox<never, never>> {
  const { database, platform = systemPlatform } = options;
  const store = isSqlite(database) ? new SqliteOutboxStore(database, platform) : new PostgresOutboxStore(database);
  const made = new TransactionalOutbox(store as OutboxStore<never>, options);
  await store.open();
  made.start();
  return made as unknown as Outbox<never, never>;
}

class TransactionalOutbox implements Outbox<object, undefined | Promise<void>> {
  readonly #store: OutboxStore<never>;
  readonly #broker: OutboxOptions["broker"];
  readonly #relay: Relay | undefined;
  readonly #platform: Platform;
  readonly #observer: Observer;
  #isNotifying = false;

  constructor(store: OutboxStore<never>, options: OutboxOptions) {
    const { leaseMs = leaseMsDefault, pollMs = pollMsDefault, keepSentMs = keepSentMsDefault } = options;
    for (const [name, value, min] of [
      ["leaseMs", leaseMs, 100],
      ["pollMs", pollMs, 1],
      ["keepSentMs", keepSentMs, 0],
    ] as const) {
      if (!(value >= min && value <= Number.MAX_SAFE_INTEGER)) {
        throw new RangeError(`outbox: ${name} is ${value}; it must be a number of milliseconds from ${min}`);
      }
    }
    this.#store = store;
    this.#broker = options.broker;
    this.#platform = options.platform ?? systemPlatform;
    this.#observer = options.observer ?? silentObserver;
    const settings = {
      leaseMs,
      pollMs,
      keepSentMs,
      holdKeys: options.onRefused !== "skip",
      observer: this.#observer,
      platform: this.#platform,
    };
    this.#relay = options.relay === false ? undefined : new Relay(store, options.broker, settings);
  }

  start(): void {
    this.#relay?.start();
  }

  publish<D extends DescMessage>(
    tx: object,
    schema: D,
    event: MessageInitShape<D>,
    options?: Omit<PublishOptions, "signal">,
  ): undefined | Promise<void> {
    return this.#append(tx, [this.#broker.encode(schema, event, options)]);
  }

  publishAll<D extends DescMessage>(
    tx: object,
    schema: D,
    events: Iterable<MessageInitShape<D>>,
    options?: Omit<PublishOptions, "signal" | "id" | "key">,
  ): undefined | Promise<void> {
    return this.#append(
      tx,
      Array.from(events, event => this.#broker.encode(schema, event, options)),
    );
  }

  #append(tx: object, records: readonly EventRecord[]): undefined | Promise<void> {
    const appended = this.#store.insert(tx as never, records);
    // Of a transaction that is not ours nobody tells: the end of this turn is the likely end of one on SQLite.
    if (!runAfterCommit(tx, () => this.wake())) this.#platform.clock.endOfTurn(() => this.#wakeUnlessOpen(tx));
    return appended;
  }

  #wakeUnlessOpen(tx: object): void {
    if (!this.#store.isOpen(tx as never)) this.wake();
  }

  wake(): void {
    if (this.#relay !== undefined) this.#relay.wake();
    else void this.#notify();
  }

  /** One at a time: the notices of commits that come meanwhile are one. */
  async #notify(): Promise<void> {
    if (this.#isNotifying) return;
    this.#isNotifying = true;
    // What commits in this turn needs one notice only.
    await new Promise<void>(resolve => {
      this.#platform.clock.endOfTurn(resolve);
    });
    this.#isNotifying = false;
    try {
      await this.#store.notify();
    } catch (error) {
      // Relays find the rows by polling.
      this.#observer.emit({
        type: "outbox.failed",
        step: "notify",
        error,
        retryMs: 0,
      } satisfies OutboxEvent as OutboxEvent);
    }
  }

  counts(): Promise<OutboxCounts> {
    return this.#store.counts();
  }

  refused(countMax = 100): Promise<readonly ParkedRow[]> {
    return this.#store.parked(countMax);
  }

  async settleRefused(sequence: number, how: "retry" | "discard"): Promise<boolean> {
    const wasThere = await this.#store.settleParked(sequence, how);
    this.wake();
    return wasThere;
  }

  async close(): Promise<void> {
    await this.#relay?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
