import type { Priority, TraceContext } from "../../platform/index.ts";
import type { Batch } from "../batch.ts";
import type { Delivery } from "../handler.ts";

/** What the events of a batch have in common. */
export interface BatchDeadline {
  readonly timeLeftMs: number;
  readonly signal: AbortSignal;
}

/** What one call of a batch handler sees beside its events, and the work that calls and publishes in it belong to. */
export class HandlerBatch implements Batch {
  readonly deliveries: readonly Delivery[];
  readonly #deadline: BatchDeadline;
  #priority: Priority | undefined;
  #failures: Map<number, unknown> | undefined;
  #hasEnded = false;

  constructor(deliveries: readonly Delivery[], deadline: BatchDeadline) {
    this.deliveries = deliveries;
    this.#deadline = deadline;
  }

  get timeLeftMs(): number {
    return this.#deadline.timeLeftMs;
  }

  get signal(): AbortSignal {
    return this.#deadline.signal;
  }

  /** That of its most important event. Looked for once: every publish in the handler asks. */
  get priority(): Priority {
    this.#priority ??= mostImportant(this.deliveries);
    return this.#priority;
  }

  get attempt(): number {
    return this.deliveries[0]?.attempt ?? 0;
  }

  get trace(): TraceContext | undefined {
    return this.deliveries.length === 1 ? this.deliveries[0]?.trace : undefined;
  }

  get links(): readonly TraceContext[] {
    return this.deliveries.flatMap(({ trace }) => trace ?? []);
  }

  /** Errors by index. */
  get failures(): ReadonlyMap<number, unknown> {
    return this.#failures ?? noFailures;
  }

  fail(index: number, error: unknown): void {
    if (this.#hasEnded) {
      throw new Error(`batch.fail(${index}): the handler has ended, and its events are settled; call it before`);
    }
    if (!Number.isInteger(index) || index < 0 || index >= this.deliveries.length) {
      const last = this.deliveries.length - 1;
      throw new RangeError(`batch.fail(${String(index)}): events of this batch have the indices 0 to ${last}`);
    }
    this.#failures ??= new Map();
    this.#failures.set(index, error);
  }

  /** The handler has ended: what it says from now on comes too late. */
  end(): void {
    this.#hasEnded = true;
  }
}

function mostImportant(deliveries: readonly Delivery[]): Priority {
  let isAnyDefault = false;
  for (const { priority } of deliveries) {
    if (priority === "critical") return "critical";
    isAnyDefault ||= priority === "default";
  }
  return isAnyDefault ? "default" : "sheddable";
}

const noFailures: ReadonlyMap<number, unknown> = new Map();
