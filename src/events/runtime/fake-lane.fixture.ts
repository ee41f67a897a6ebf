import type { DeathDetails, DriverSubscription, Lane } from "../driver.ts";
import type { AttemptHistory, EventAttributes, StoredRecord } from "../record.ts";

/** A lane that remembers what it is told. */
export class FakeLane implements Lane {
  readonly name: string;
  readonly isOrdered = true;
  readonly settled: StoredRecord[] = [];
  readonly released: StoredRecord[] = [];
  readonly begun: { readonly record: StoredRecord; readonly attempts: number }[] = [];
  isPaused = false;
  pauses = 0;
  /** Nothing may be said of it any more. */
  isGone = false;
  /** What `begin` answers. */
  beginning: (() => Promise<void> | undefined) | undefined;

  constructor(name = "ledger/0") {
    this.name = name;
  }

  settle(record: StoredRecord): void {
    if (this.isGone) throw new Error(`${record.place} was settled on a lane that has gone`);
    this.settled.push(record);
  }

  release(record: StoredRecord): void {
    if (this.isGone) throw new Error(`${record.place} was given back to a lane that has gone`);
    this.released.push(record);
  }

  begin(record: StoredRecord, attempts: number): Promise<void> | undefined {
    this.begun.push({ record, attempts });
    return this.beginning?.();
  }

  pause(): void {
    this.isPaused = true;
    this.pauses++;
  }

  resume(): void {
    this.isPaused = false;
  }
}

/** The driver's half of a subscription, which takes everything, or fails as long as it is told to. */
export class FakeSubscription implements DriverSubscription {
  readonly retried: { readonly record: StoredRecord; readonly delayMs: number; readonly history: AttemptHistory }[] =
    [];
  readonly dead: { readonly record: StoredRecord; readonly details: DeathDetails }[] = [];
  readonly calls: string[] = [];
  /** Set while the broker is down. */
  failure: Error | undefined;

  async retryLater(record: StoredRecord, delayMs: number, history: AttemptHistory): Promise<void> {
    this.calls.push("retryLater");
    if (this.failure !== undefined) throw this.failure;
    this.retried.push({ record, delayMs, history });
  }

  async deadLetter(record: StoredRecord, details: DeathDetails): Promise<void> {
    this.calls.push("deadLetter");
    if (this.failure !== undefined) throw this.failure;
    this.dead.push({ record, details });
  }

  async stop(): Promise<void> {
    this.calls.push("stop");
  }

  async close(): Promise<void> {
    this.calls.push("close");
  }
}

let places = 0;

/** A record as a broker would give it. */
export function storedRecord(
  topic: string,
  key: string | undefined,
  body: Uint8Array | object,
  attributes: Partial<EventAttributes> = {},
  history: AttemptHistory = { attempts: 0, firstFailedAtMs: undefined },
): StoredRecord {
  const place = `${topic}@${++places}`;
  return {
    topic,
    key,
    attributes,
    body: body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body)),
    place,
    fallbackId: place,
    fallbackIsSynthetic: false,
    storedAtMs: undefined,
    history,
  };
}
