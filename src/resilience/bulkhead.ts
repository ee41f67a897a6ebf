import { Rejection } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import { bulkheadConcurrent, bulkheadOverloadMs, bulkheadQueueMs, bulkheadQueuePerPlace } from "./limits.ts";
import { contradiction, count, durationMs, durationOrZeroMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";
import { Waiter, type WaiterQueue } from "./waiter.ts";

export interface BulkheadOptions extends PartOptions {
  /** Pieces of work that run at once. @default 10 */
  readonly concurrent?: number | undefined;
  /** Pieces of work that may wait for a place; 0: none. @default 10 × concurrent */
  readonly queue?: number | undefined;
  /** Longest wait in milliseconds. @default 5,000 */
  readonly maxWaitMs?: number | undefined;
  /**
   * A queue that was not empty for this long serves the newest first, in milliseconds; Infinity: never.
   * @default 100
   */
  readonly overloadMs?: number | undefined;
}

/**
 * Bounds how much work runs at once and how much waits for it. A place stays taken until the work has really ended, also
 * past a time-out. Made by {@link bulkhead}.
 */
export class Bulkhead implements PermitOwner, WaiterQueue {
  readonly concurrent: number;
  readonly queue: number;
  readonly #clock: Clock;
  readonly #maxWaitMs: number;
  readonly #overloadMs: number;
  /** The waiting work, oldest first. */
  readonly #waiting = new Waiter(0, () => {});
  #waitingCount = 0;
  #running = 0;
  #busySinceMs = 0;
  #isAdmitting = false;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: BulkheadOptions = {}, path = "bulkhead") {
    knownOptions(path, options, [...partOptionNames, "concurrent", "queue", "maxWaitMs", "overloadMs"]);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    this.concurrent = numberOption(`${path}.concurrent`, options.concurrent, bulkheadConcurrent, count);
    this.queue = numberOption(
      `${path}.queue`,
      options.queue,
      Math.min(this.concurrent * bulkheadQueuePerPlace, count.max),
      { ...count, min: 0 },
    );
    this.#maxWaitMs = numberOption(`${path}.maxWaitMs`, options.maxWaitMs, bulkheadQueueMs, durationMs);
    this.#overloadMs = numberOption(`${path}.overloadMs`, options.overloadMs, bulkheadOverloadMs, {
      ...durationOrZeroMs,
      max: Number.POSITIVE_INFINITY,
    });
    for (const name of ["maxWaitMs", "overloadMs"] as const) {
      if (this.queue === 0 && options[name] !== undefined) {
        throw contradiction(`${path}.${name}`, "means nothing with queue 0, where nothing waits");
      }
    }
    this.#alone = planOf(machine, { name: options.name, bulkhead: this });
  }

  /** Work that holds a place. */
  get running(): number {
    return this.#running;
  }

  /** Work that waits. */
  get waiting(): number {
    return this.#waitingCount;
  }

  /** Asks for a place now, without waiting; those who wait already come first. */
  acquire(nowMs = this.#clock.now()): Admission {
    if (this.#running >= this.concurrent || this.#waitingCount > 0) return new Rejection("bulkhead_full");
    this.#running++;
    return new Permit(this, 0, nowMs);
  }

  /**
   * Lets work wait for a place that `acquire` did not have.
   *
   * @returns a rejection when the queue is full, otherwise `undefined`: the waiter will be told
   */
  enqueue(waiter: Waiter, nowMs = this.#clock.now()): Rejection | undefined {
    if (this.#waitingCount >= this.queue) return new Rejection("bulkhead_full");
    if (waiter.deadlineAt <= nowMs) return new Rejection("deadline");
    if (this.#waitingCount++ === 0) this.#busySinceMs = nowMs;
    waiter.queue = this;
    const last = this.#waiting.previous;
    waiter.previous = last;
    waiter.next = this.#waiting;
    last.next = waiter;
    this.#waiting.previous = waiter;
    const untilDeadlineMs = waiter.deadlineAt - nowMs;
    const reason = untilDeadlineMs < this.#maxWaitMs ? "deadline" : "queue_timeout";
    waiter.timer = this.#clock.after(Math.min(untilDeadlineMs, this.#maxWaitMs), () => {
      if (this.leave(waiter)) waiter.decide(new Rejection(reason));
    });
    return undefined;
  }

  /** Takes waiting work out of the queue, at once and for good; `false` when it did not wait. */
  leave(waiter: Waiter): boolean {
    if (!waiter.isWaiting) return false;
    waiter.previous.next = waiter.next;
    waiter.next.previous = waiter.previous;
    waiter.next = waiter;
    waiter.previous = waiter;
    waiter.timer?.cancel();
    this.#waitingCount--;
    return true;
  }

  /**
   * Asks for a place and waits for it if need be.
   *
   * @param options.signal gives the wait up; its place in the queue is free at once
   * @param options.deadline monotonic time in milliseconds after which the work is worthless
   * @throws the signal's reason
   */
  async wait(options: Pick<RunOptions, "signal" | "deadline"> = {}): Promise<Admission> {
    const { signal, deadline = Number.POSITIVE_INFINITY } = options;
    signal?.throwIfAborted();
    const nowMs = this.#clock.now();
    if (deadline <= nowMs) return new Rejection("deadline");
    const admission = this.acquire(nowMs);
    if (!admission.rejected) return admission;
    return new Promise((resolve, reject) => {
      const abort = () => {
        if (this.leave(waiter)) reject(signal?.reason);
      };
      const waiter = new Waiter(deadline, decided => {
        signal?.removeEventListener("abort", abort);
        resolve(decided);
      });
      const refused = this.enqueue(waiter, nowMs);
      if (refused !== undefined) resolve(refused);
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Guards one piece of work. @throws RejectedError `bulkhead_full`, `queue_timeout`; what the work throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }

  /** For permits. */
  settle(): void {
    this.#running--;
    // Work that ends at once settles while it is being admitted; the loop that admits goes on by itself.
    if (this.#waitingCount > 0 && !this.#isAdmitting) this.#admitNext();
  }

  /** Hands the free place on. Work whose deadline has passed while it waited is refused, not begun. */
  #admitNext(): void {
    this.#isAdmitting = true;
    try {
      const nowMs = this.#clock.now();
      while (this.#waitingCount > 0 && this.#running < this.concurrent) {
        const isOverloaded = nowMs - this.#busySinceMs >= this.#overloadMs;
        const waiter = isOverloaded ? this.#waiting.previous : this.#waiting.next;
        this.leave(waiter);
        if (waiter.deadlineAt <= nowMs) {
          waiter.decide(new Rejection("deadline"));
          continue;
        }
        this.#running++;
        waiter.decide(new Permit(this, 0, nowMs));
      }
    } finally {
      this.#isAdmitting = false;
    }
  }
}

/**
 * A bulkhead: at most `concurrent` pieces of work at once, and a bounded queue before them.
 *
 * ```ts
 * const places = bulkhead({ concurrent: 10 });
 * const order = await withTimeout(5_000, signal => places.run(() => fetchOrder("123", signal), { signal }));
 * ```
 *
 * After Nygard, "Release It!" (2007); the queue turns from oldest first to newest first when it does not empty ("Fail at
 * scale", Maurer, ACM Queue 2015).
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead(options);
}
