import { type Clock, type Observer, silentObserver } from "../../platform/index.ts";
import type { SubscriptionStats } from "../broker.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { StoredRecord } from "../record.ts";
import type { Entry } from "./entry.ts";
import type { EventMoveFailed, EventRetried, EventsEvent } from "./observed.ts";

/** What has become of events: counted for the subscription's figures, and told to its observer. */
export class Journal {
  readonly #group: string;
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** Nobody listens: what happens to every event is counted only. */
  readonly #isSilent: boolean;
  #handled = 0;
  #ignored = 0;
  #failedAttempts = 0;
  #retried = 0;
  #deadLettered = 0;
  #expiredRequests = 0;

  constructor(group: string, clock: Clock, observer: Observer) {
    this.#group = group;
    this.#clock = clock;
    this.#observer = observer;
    this.#isSilent = observer === silentObserver;
  }

  counts(): Omit<SubscriptionStats, "running" | "waiting" | "parkedKeys" | "parkedEvents" | "parkedAtBroker"> {
    return {
      handled: this.#handled,
      ignored: this.#ignored,
      failedAttempts: this.#failedAttempts,
      retried: this.#retried,
      deadLettered: this.#deadLettered,
      expiredRequests: this.#expiredRequests,
    };
  }

  ignored(record: StoredRecord, eventType: string | undefined): void {
    this.#ignored++;
    if (!this.#isSilent) this.#emit(of("events.ignored", this.#group, record, eventType));
  }

  handled(entry: Entry): void {
    this.#handled++;
    if (this.#isSilent) return;
    const durationMs = this.#clock.now() - entry.startedMs;
    this.#emit({ ...this.#of("events.handled", entry), durationMs, attempt: entry.attempts - 1 });
  }

  failed(entry: Entry, error: unknown): void {
    this.#failedAttempts++;
    const durationMs = this.#clock.now() - entry.startedMs;
    this.#emit({ ...this.#of("events.failed", entry), durationMs, attempt: entry.attempts - 1, error });
  }

  abandoned(entry: Entry, runningMs: number): void {
    this.#emit({ ...this.#of("events.handler.abandoned", entry), runningMs });
  }

  retried(entry: Entry, delayMs: number, how: EventRetried["how"]): void {
    this.#retried++;
    this.#emit({ ...this.#of("events.retried", entry), delayMs, how });
  }

  deadLettered(entry: Entry, reason: DeadLetterReason): void {
    this.#deadLettered++;
    this.#emit({ ...this.#of("events.dead_lettered", entry), reason, attempts: entry.attempts });
  }

  requestExpired(entry: Entry): void {
    this.#expiredRequests++;
    this.#emit({ ...this.#of("events.request.expired", entry), attempts: entry.attempts });
  }

  moveFailed(entry: Entry, what: EventMoveFailed["what"], error: unknown): void {
    this.#emit({ ...this.#of("events.move.failed", entry), what, failures: entry.moveFailures, error });
  }

  parked(lane: string, events: number, keys: number): void {
    this.#emit({ type: "events.parked", group: this.#group, lane, events, keys });
  }

  parkingFailed(lane: string, what: "park" | "recall", failures: number, error: unknown): void {
    this.#emit({ type: "events.parking.failed", group: this.#group, lane, what, failures, error });
  }

  batchHandled(entries: readonly Entry[], bytes: number, durationMs: number, failed: number): void {
    if (this.#isSilent) return;
    this.#emit({ ...this.#ofBatch("events.batch.handled", entries), bytes, durationMs, failed });
  }

  batchFailed(entries: readonly Entry[], durationMs: number, error: unknown): void {
    this.#emit({ ...this.#ofBatch("events.batch.failed", entries), durationMs, error });
  }

  batchAbandoned(entries: readonly Entry[], runningMs: number): void {
    this.#emit({ ...this.#ofBatch("events.batch.abandoned", entries), runningMs });
  }

  #ofBatch<T extends string>(type: T, entries: readonly Entry[]) {
    const first = entries[0] as Entry;
    const { topic, attributes } = first.record;
    const eventType = first.handling?.contract.type ?? attributes.type;
    return { type, group: this.#group, topic, eventType, events: entries.length };
  }

  #of<T extends string>(type: T, entry: Entry) {
    return of(type, this.#group, entry.record, entry.handling?.contract.type);
  }

  #emit(event: EventsEvent): void {
    this.#observer.emit(event);
  }
}

function of<T extends string>(type: T, group: string, record: StoredRecord, eventType: string | undefined) {
  return { type, group, topic: record.topic, eventType: eventType ?? record.attributes.type, place: record.place };
}
