import type { Clock, Priority, TraceContext } from "../../platform/index.ts";
import type { Delivery } from "../handler.ts";
import type { StoredRecord } from "../record.ts";

const noHeaders: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/**
 * What one attempt of a handler sees beside its message, and the work that calls and publishes in it belong to.
 *
 * Hot path: one small object for each attempt; everything is read from the record when it is asked for, and there is no
 * AbortController before somebody wants the signal.
 */
export class HandlerDelivery implements Delivery {
  readonly group: string;
  readonly raw: StoredRecord;
  readonly type: string;
  readonly key: string | undefined;
  readonly attempt: number;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  #controller: AbortController | undefined;
  #abortReason: unknown;
  #isAborted = false;

  constructor(
    group: string,
    raw: StoredRecord,
    type: string,
    key: string | undefined,
    attempt: number,
    clock: Clock,
    deadlineMs: number,
  ) {
    this.group = group;
    this.raw = raw;
    this.type = type;
    this.key = key;
    this.attempt = attempt;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
  }

  get topic(): string {
    return this.raw.topic;
  }

  get id(): string {
    return this.raw.attributes.id ?? this.raw.fallbackId;
  }

  get idIsSynthetic(): boolean {
    return this.raw.attributes.id === undefined && this.raw.fallbackIsSynthetic;
  }

  get source(): string | undefined {
    return this.raw.attributes.source;
  }

  get timeMs(): number | undefined {
    return this.raw.attributes.timeMs ?? this.raw.storedAtMs;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.raw.attributes.headers ?? noHeaders;
  }

  get priority(): Priority {
    return this.raw.attributes.priority ?? "default";
  }

  get trace(): TraceContext | undefined {
    return this.raw.attributes.trace;
  }

  get timeLeftMs(): number {
    return this.#deadlineMs - this.#clock.now();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Aborts the signal; the first reason stays. */
  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }
}
