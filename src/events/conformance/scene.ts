import { systemPlatform } from "../../platform/index.ts";
import type { Broker, BrokerOptions, HeldLetter, SubscribeOptions, Subscription } from "../broker.ts";
import type { DeadLetterFilter } from "../dead-letter.ts";
import { type Delivery, on } from "../handler.ts";
import type { BrokerHarness } from "./harness.ts";
import { type Ledger, ledger, type Placed } from "./ledger.ts";

/** How a wait ends that has seen nothing for too long. */
const defaultWaitMs = 20_000;
/** Pauses between looks at what only the broker knows. */
const lookMs = 20;

const { clock } = systemPlatform;

/** What handlers of a case saw, in order; cases wait for it to say something. */
export class Journal<T> {
  readonly entries: T[] = [];
  readonly #waitMs: number;
  readonly #watchers = new Set<() => void>();

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  get length(): number {
    return this.entries.length;
  }

  push(entry: T): void {
    this.entries.push(entry);
    for (const watch of [...this.#watchers]) watch();
  }

  /** Resolves when there are `count` entries. @throws Error when nothing more comes for too long */
  reaches(count: number): Promise<readonly T[]> {
    return this.until(entries => entries.length >= count, `${count} entries`);
  }

  /** Resolves when the entries are as wanted. @throws Error when nothing more comes for too long */
  until(isWanted: (entries: readonly T[]) => boolean, what: string): Promise<readonly T[]> {
    return new Promise((resolve, reject) => {
      let timer = clock.after(0, () => {}, true);
      const look = () => {
        timer.cancel();
        if (isWanted(this.entries)) {
          this.#watchers.delete(look);
          resolve(this.entries);
          return;
        }
        timer = clock.after(
          this.#waitMs,
          () => {
            this.#watchers.delete(look);
            const seen = JSON.stringify(this.entries.slice(-20));
            reject(new Error(`waited ${this.#waitMs} ms for ${what}; ${this.length} entries, the last: ${seen}`));
          },
          true,
        );
      };
      this.#watchers.add(look);
      look();
    });
  }
}

/** A door that handlers wait at until the case opens it. */
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise(resolve => {
      this.open = resolve;
    });
  }
}

/** What a handler of a case saw. */
export interface Seen {
  readonly account: string;
  readonly number: number;
  readonly attempt: number;
  /** Which subscription. */
  readonly member: string;
}

/** One case on one broker: its topic, its connections, and waits that fail instead of lasting. */
export class Scene {
  readonly harness: BrokerHarness;
  readonly ledger: Ledger;
  readonly group: string;
  readonly waitMs: number;
  readonly #brokers: Broker[] = [];
  readonly #gates: Gate[] = [];

  constructor(harness: BrokerHarness) {
    this.harness = harness;
    this.ledger = ledger(harness.uniqueName("ledger"));
    this.group = harness.uniqueName("group");
    this.waitMs = harness.waitMs ?? defaultWaitMs;
  }

  /** A connection, closed with the scene. Topics that are missing may be made. */
  async connect(options: BrokerOptions = {}): Promise<Broker> {
    const broker = await this.harness.connect({ source: "/conformance", createTopics: true, ...options });
    this.#brokers.push(broker);
    return broker;
  }

  journal<T = Seen>(): Journal<T> {
    return new Journal<T>(this.waitMs);
  }

  gate(): Gate {
    const gate = new Gate();
    this.#gates.push(gate);
    return gate;
  }

  /** Subscribes the group to `ledger.placed`; `handle` is called after what it sees is in the journal. */
  subscribe(
    broker: Broker,
    journal: Journal<Seen>,
    handle: (event: Placed, delivery: Delivery) => unknown = () => {},
    options: Partial<SubscribeOptions> = {},
    member = "one",
  ): Promise<Subscription> {
    return broker.subscribe(
      { group: this.group, retry: quickRetry, ...options },
      on(this.ledger.PlacedSchema, (event, delivery) => {
        const { account, number } = event;
        journal.push({ account, number, attempt: delivery.attempt, member });
        return handle(event, delivery);
      }),
    );
  }

  publish(broker: Broker, account: string, number: number): Promise<{ readonly id: string }> {
    return broker.publish(this.ledger.PlacedSchema, { account, number });
  }

  async letters(broker: Broker, filter: DeadLetterFilter = {}): Promise<HeldLetter[]> {
    const letters: HeldLetter[] = [];
    for await (const letter of broker.deadLetters({ group: this.group, ...filter })) letters.push(letter);
    return letters;
  }

  /** Looks until the broker says what is wanted. @throws Error when it does not in time, with what it said last */
  async eventually<T>(look: () => T | Promise<T>, isWanted: (value: T) => boolean, what: string): Promise<T> {
    const endMs = clock.now() + this.waitMs;
    for (;;) {
      const value = await look();
      if (isWanted(value)) return value;
      if (clock.now() > endMs) throw new Error(`waited ${this.waitMs} ms for ${what}; it is ${inspected(value)}`);
      await pause(lookMs);
    }
  }

  /** @throws Error when `work` takes too long */
  async within<T>(work: Promise<T>, what: string): Promise<T> {
    let timer = clock.after(0, () => {});
    const late = new Promise<never>((_resolve, reject) => {
      timer = clock.after(this.waitMs, () => reject(new Error(`waited ${this.waitMs} ms for ${what}`)), true);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timer.cancel();
    }
  }

  async close(): Promise<void> {
    for (const gate of this.#gates) gate.open();
    const closed = await Promise.allSettled(this.#brokers.map(broker => broker.close({ timeoutMs: 5_000 })));
    // A connection that the case has killed has nothing to say any more.
    const failed = closed.filter(result => result.status === "rejected");
    if (failed.length > 0 && this.harness.kill === undefined) throw failed[0]?.reason;
  }
}

/** Eight attempts within a fraction of a second. */
export const quickRetry = {
  maxAttempts: 4,
  immediate: 1,
  immediateDelayMs: 1,
  initialDelayMs: 20,
  factor: 1,
  maxDelayMs: 20,
} as const;

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    clock.after(ms, resolve, true);
  });
}

/** The order of numbers within each account is that of `first` deliveries. */
export function firstDeliveries(entries: readonly Seen[]): Map<string, number[]> {
  const accounts = new Map<string, number[]>();
  for (const { account, number } of entries) {
    const numbers = accounts.get(account) ?? [];
    accounts.set(account, numbers);
    if (!numbers.includes(number)) numbers.push(number);
  }
  return accounts;
}

export function isAscending(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] as number));
}

function inspected(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? String(part) : part))?.slice(0, 500);
}
