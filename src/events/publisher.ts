import { type Clock, type Observer, outsideContext, type Platform, type Timer } from "../platform/index.ts";
import { backoffDelayMs } from "../resilience/index.ts";
import type { GatherOptions } from "./broker.ts";
import type { BrokerDriver, PublishFailure } from "./driver.ts";
import { BrokerError, PublishError } from "./errors.ts";
import { gatherDefaults, publishAgain, publishAttemptsMax } from "./limits.ts";
import type { EventRecord } from "./record.ts";
import type { EventsPublished } from "./runtime/observed.ts";

/** Learns what became of a record. */
export interface PublishListener {
  published(pending: PendingRecord): void;
  failed(pending: PendingRecord, error: Error): void;
}

/** A record from its publish until the broker has it. */
export class PendingRecord {
  readonly record: EventRecord;
  readonly listener: PublishListener;
  /** For the listener: which of its records it is. */
  readonly index: number;
  /** The next one that waits: for its key, or for room. */
  next: PendingRecord | undefined;
  attempts = 0;
  /** Nobody waits for it any more. */
  isGivenUp = false;

  constructor(record: EventRecord, listener: PublishListener, index: number) {
    this.record = record;
    this.listener = listener;
    this.index = index;
  }
}

/** Records in a line. */
class Line {
  first: PendingRecord | undefined;
  #last: PendingRecord | undefined;

  push(pending: PendingRecord): void {
    if (this.#last === undefined) this.first = pending;
    else this.#last.next = pending;
    this.#last = pending;
  }

  shift(): PendingRecord | undefined {
    const { first } = this;
    if (first === undefined) return undefined;
    this.first = first.next;
    if (this.first === undefined) this.#last = undefined;
    first.next = undefined;
    return first;
  }
}

/**
 * Gathers what is published one by one. A batch leaves at once when nothing is on the way; otherwise when it is full, or
 * when its first record has waited for `maxAgeMs`, or when the broker has answered, whichever is first. The timer belongs to
 * the first record; later ones never prolong it.
 *
 * Order: records of a key that is on the way wait for the answer, and go together then. So one that has to be repeated
 * cannot be overtaken by a later one of its key, and keys do not wait for each other.
 *
 * Hot path (`npm run bench -- events`): one object and one promise for each record; queues are linked lists.
 */
export class Publisher {
  readonly #driver: BrokerDriver;
  readonly #platform: Platform;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #maxAgeMs: number;
  readonly #recordsMax: number;
  readonly #bytesMax: number;
  readonly #pendingBytesMax: number;

  #batch: PendingRecord[] = [];
  #batchBytes = 0;
  #timer: Timer | undefined;
  #turnIsAwaited = false;
  #batchesOnTheWay = 0;
  /** What waits behind the keys that are on the way, or wait for another attempt; `null` for nothing yet. */
  readonly #lines = new Map<string, Line | null>();
  /** Bodies that were let in and have no answer. */
  #pendingBytes = 0;
  #pending = 0;
  /** For room. */
  readonly #waiting = new Line();
  /** Lists of records that the broker would not take, until they go again. */
  readonly #backingOff = new Set<readonly PendingRecord[]>();
  #roomWaiters: (() => void)[] = [];
  #idleWaiters: (() => void)[] = [];
  #isClosed = false;

  readonly #onTurn = () => {
    this.#turnIsAwaited = false;
    if (this.#batchesOnTheWay === 0) this.#send();
  };
  readonly #onAge = () => {
    this.#timer = undefined;
    this.#send();
  };

  /** @throws BrokerError for an option out of range */
  constructor(driver: BrokerDriver, platform: Platform, observer: Observer, options: GatherOptions = {}) {
    this.#driver = driver;
    this.#platform = platform;
    this.#clock = platform.clock;
    this.#observer = observer;
    this.#maxAgeMs = limit("maxAgeMs", options.maxAgeMs, 0);
    this.#recordsMax = limit("recordsMax", options.recordsMax, 1);
    this.#bytesMax = limit("bytesMax", options.bytesMax, 1);
    this.#pendingBytesMax = limit("pendingBytesMax", options.pendingBytesMax, 1);
  }

  /** Records that have no answer. */
  get pending(): number {
    return this.#pending;
  }

  /** Takes a record; its listener learns what becomes of it. */
  add(record: EventRecord, listener: PublishListener, index = 0): PendingRecord {
    const pending = new PendingRecord(record, listener, index);
    this.take(pending);
    return pending;
  }

  take(pending: PendingRecord): void {
    if (this.#isClosed) {
      pending.listener.failed(pending, new PublishError("the broker is closed", true));
      return;
    }
    this.#pending++;
    if (this.#waiting.first !== undefined || !this.#hasRoomFor(pending.record)) this.#waiting.push(pending);
    else this.#admit(pending);
  }

  /** Nobody waits for a record any more. If it has not left, it never will. */
  giveUp(pending: PendingRecord): void {
    pending.isGivenUp = true;
  }

  get hasRoom(): boolean {
    return this.#waiting.first === undefined && this.#pendingBytes < this.#pendingBytesMax;
  }

  /** Resolves when another record can be let in: for those who would rather not encode it before. */
  room(): Promise<void> {
    if (this.hasRoom || this.#isClosed) return Promise.resolve();
    return new Promise(resolve => this.#roomWaiters.push(resolve));
  }

  /** Sends what has been gathered and resolves when every record has its answer. */
  flush(): Promise<void> {
    this.#send();
    if (this.#pending === 0) return Promise.resolve();
    return new Promise(resolve => this.#idleWaiters.push(resolve));
  }

  /** Takes nothing more. What has not left fails; what is on the way still gets its answer. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    const rest = [...this.#batch, ...[...this.#backingOff].flat()];
    this.#batch = [];
    this.#backingOff.clear();
    for (const line of this.#lines.values()) {
      for (let one = line?.shift(); one !== undefined; one = line?.shift()) rest.push(one);
    }
    const error = new PublishError("the broker was closed before it had the event", true);
    for (const pending of rest) this.#answered(pending, error);
    for (let one = this.#waiting.shift(); one !== undefined; one = this.#waiting.shift()) {
      this.#pendingBytes += one.record.body.length;
      this.#answered(one, error);
    }
    this.#wakeWaiters();
  }

  #hasRoomFor(record: EventRecord): boolean {
    // A record that is larger than all the room goes alone.
    return this.#pendingBytes === 0 || this.#pendingBytes + record.body.length <= this.#pendingBytesMax;
  }

  #admit(pending: PendingRecord): void {
    this.#pendingBytes += pending.record.body.length;
    this.#place(pending);
  }

  /** Behind those of its key, or into the batch. */
  #place(pending: PendingRecord): void {
    const { key } = pending.record;
    const line = key === undefined ? undefined : this.#lines.get(key);
    if (line === undefined) this.#gather(pending);
    else if (line === null) {
      const fresh = new Line();
      fresh.push(pending);
      this.#lines.set(key as string, fresh);
    } else line.push(pending);
  }

  #gather(pending: PendingRecord): void {
    const { length } = pending.record.body;
    if (this.#batch.length > 0 && this.#batchBytes + length > this.#bytesMax) {
      this.#send();
      // Its key may have left just now.
      this.#place(pending);
      return;
    }
    this.#batchBytes += length;
    if (this.#batch.push(pending) >= this.#recordsMax || this.#batchBytes >= this.#bytesMax) this.#send();
    else if (this.#batchesOnTheWay === 0) {
      if (this.#turnIsAwaited) return;
      this.#turnIsAwaited = true;
      this.#clock.endOfTurn(this.#onTurn);
    } else if (this.#timer === undefined) {
      this.#timer = outsideContext(() => this.#clock.after(this.#maxAgeMs, this.#onAge, true));
    }
  }

  #send(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const gathered = this.#batch;
    if (gathered.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    const batch: PendingRecord[] = [];
    const records: EventRecord[] = [];
    for (const pending of gathered) {
      if (pending.isGivenUp) {
        this.#answered(pending, undefined);
        continue;
      }
      const { record } = pending;
      pending.attempts++;
      batch.push(pending);
      records.push(record);
      if (record.key !== undefined) this.#lines.set(record.key, null);
    }
    if (batch.length === 0) {
      this.#wakeWaiters();
      return;
    }
    this.#batchesOnTheWay++;
    const sentMs = this.#clock.now();
    outsideContext(() => {
      this.#driver.publish(records).then(
        failures => this.#settle(batch, failures, sentMs),
        (cause: unknown) => {
          const error = cause instanceof Error ? cause : new Error(String(cause));
          const failure = { isRetryable: false, error };
          this.#settle(
            batch,
            batch.map(() => failure),
            sentMs,
          );
        },
      );
    });
  }

  #settle(batch: readonly PendingRecord[], failures: readonly (PublishFailure | undefined)[], sentMs: number): void {
    this.#batchesOnTheWay--;
    let refused = 0;
    let repeated: PendingRecord[] | undefined;
    for (let index = 0; index < batch.length; index++) {
      const pending = batch[index] as PendingRecord;
      const failure = failures[index];
      if (failure === undefined) {
        this.#answered(pending, undefined);
        continue;
      }
      refused++;
      if (!this.#isClosed && isWorthAnother(pending, failure)) {
        repeated ??= [];
        repeated.push(pending);
      } else this.#answered(pending, publishError(pending.record, failure));
    }
    const event: EventsPublished = {
      type: "events.published",
      records: batch.length,
      refused,
      durationMs: this.#clock.now() - sentMs,
    };
    this.#observer.emit(event);
    if (repeated !== undefined) this.#repeatLater(repeated);
    this.#freeKeys(batch, repeated);
    this.#letIn();
    // What has gathered while this batch was on the way has waited long enough.
    if (this.#batchesOnTheWay === 0) this.#send();
    this.#wakeWaiters();
  }

  /** Records behind those that have their answer go on, unless one of their key is to be repeated. */
  #freeKeys(batch: readonly PendingRecord[], repeated: readonly PendingRecord[] | undefined): void {
    const heldKeys = repeated === undefined ? undefined : new Set(repeated.map(({ record }) => record.key));
    let lines: Line[] | undefined;
    for (const { record } of batch) {
      const { key } = record;
      if (key === undefined || heldKeys?.has(key) === true) continue;
      const line = this.#lines.get(key);
      if (line === undefined) continue;
      this.#lines.delete(key);
      if (line === null) continue;
      lines ??= [];
      lines.push(line);
    }
    // Only when all are free: what goes into a batch here may leave, and its key with it.
    for (const line of lines ?? []) this.#placeAll(line);
  }

  #placeAll(line: Line): void {
    for (let one = line.shift(); one !== undefined; one = line.shift()) this.#place(one);
  }

  /** The broker would not take them now. Their keys stay as if they were on the way, so that nothing overtakes them. */
  #repeatLater(repeated: readonly PendingRecord[]): void {
    const first = repeated[0] as PendingRecord;
    const delayMs = backoffDelayMs(publishAgain, first.attempts, 0, this.#platform.random);
    this.#backingOff.add(repeated);
    outsideContext(() => this.#clock.after(delayMs, () => this.#repeat(repeated), true));
  }

  #repeat(repeated: readonly PendingRecord[]): void {
    if (!this.#backingOff.delete(repeated)) return;
    const lines = new Set<Line>();
    for (const { record } of repeated) {
      if (record.key === undefined) continue;
      const line = this.#lines.get(record.key);
      if (line !== undefined && line !== null) lines.add(line);
      this.#lines.delete(record.key);
    }
    for (const pending of repeated) this.#place(pending);
    for (const line of lines) this.#placeAll(line);
  }

  /** A record has its answer, or needs none any more. */
  #answered(pending: PendingRecord, error: PublishError | undefined): void {
    this.#pending--;
    this.#pendingBytes -= pending.record.body.length;
    if (pending.isGivenUp) return;
    if (error === undefined) pending.listener.published(pending);
    else pending.listener.failed(pending, error);
  }

  #letIn(): void {
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      if (!this.#hasRoomFor(first.record)) return;
      this.#waiting.shift();
      this.#admit(first);
    }
  }

  #wakeWaiters(): void {
    if (this.#roomWaiters.length > 0 && (this.hasRoom || this.#isClosed)) {
      const waiters = this.#roomWaiters;
      this.#roomWaiters = [];
      for (const wake of waiters) wake();
    }
    if (this.#idleWaiters.length > 0 && this.#pending === 0) {
      const waiters = this.#idleWaiters;
      this.#idleWaiters = [];
      for (const wake of waiters) wake();
    }
  }
}

function isWorthAnother(pending: PendingRecord, { isRetryable, isUnroutable }: PublishFailure): boolean {
  if (!isRetryable || pending.isGivenUp || pending.attempts >= publishAttemptsMax) return false;
  // Whoever asks would rather know at once that nobody is there.
  return isUnroutable !== true || pending.record.replyTo === undefined;
}

function publishError({ topic, type }: EventRecord, { error, isRetryable }: PublishFailure): PublishError {
  return new PublishError(`${type} on ${topic}: the broker does not have the event: ${error.message}`, isRetryable, {
    cause: error,
  });
}

/** @throws BrokerError */
function limit(name: keyof typeof gatherDefaults, value: unknown, min: number): number {
  if (value === undefined) return gatherDefaults[name];
  if (typeof value === "number" && value >= min && value <= 2 ** 31) return value;
  throw new BrokerError(
    `connectBroker: gather.${name} is ${String(value)}; it must be a number from ${min} to ${2 ** 31}`,
  );
}
