import type { Clock, Timer } from "../clock.ts";
import { type Context, captureContext, outsideContext, restoreContext } from "../context.ts";

class VirtualTimer implements Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
  readonly context: Context | undefined = captureContext();
  isCancelled = false;

  constructor(dueMs: number, order: number, run: () => void) {
    this.dueMs = dueMs;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.isCancelled = true;
  }

  isBefore(other: VirtualTimer): boolean {
    return this.dueMs < other.dueMs || (this.dueMs === other.dueMs && this.order < other.order);
  }
}

/**
 * A clock that stands still until it is told to advance. Timers run in order of their time, then of their arming. Ends
 * of turns come by themselves (they depend on no time), in order.
 */
export class VirtualClock implements Clock {
  readonly #startWallMs: number;
  #nowMs = 0;
  #armed = 0;
  /** Binary heap, earliest first. Cancelled timers stay in it until they reach the top. */
  readonly #heap: VirtualTimer[] = [];
  #turnQueue: (() => void)[] = [];

  /** @param startWallMs wall-clock time at the start @default 2026-01-01T00:00:00Z */
  constructor(startWallMs = 1_767_225_600_000) {
    this.#startWallMs = startWallMs;
  }

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#startWallMs + this.#nowMs;
  }

  after(delayMs: number, run: () => void): Timer {
    if (Number.isNaN(delayMs)) throw new RangeError("a timer's delay must be a number of milliseconds, got NaN");
    const timer = new VirtualTimer(this.#nowMs + Math.max(delayMs, 0), this.#armed++, run);
    if (timer.dueMs !== Number.POSITIVE_INFINITY) this.#push(timer);
    return timer;
  }

  endOfTurn(run: () => void): void {
    if (this.#turnQueue.push(run) === 1) outsideContext(() => setImmediate(() => this.#endTurn()));
  }

  /** Timers that are armed. For leak checks. */
  get pendingTimers(): number {
    return this.#heap.reduce((count, timer) => count + (timer.isCancelled ? 0 : 1), 0);
  }

  /** Moves time forward; between timers, promises and ends of turns settle as they would on a real machine. */
  async advance(ms: number): Promise<void> {
    const target = this.#nowMs + ms;
    await this.settle();
    for (let timer = this.#next(target); timer !== undefined; timer = this.#next(target)) {
      this.#fire(timer);
      await this.settle();
    }
    this.#nowMs = Math.max(this.#nowMs, target);
  }

  /** Moves time forward at once; promises settle only afterwards. */
  advanceSync(ms: number): void {
    const target = this.#nowMs + ms;
    this.#endTurn();
    for (let timer = this.#next(target); timer !== undefined; timer = this.#next(target)) {
      this.#fire(timer);
      this.#endTurn();
    }
    this.#nowMs = Math.max(this.#nowMs, target);
  }

  /**
   * Time passes and nothing runs, as while a process computes, collects garbage or is stopped: what comes due meanwhile is
   * late. May be called by a timer or a handler.
   */
  stall(ms: number): void {
    this.#nowMs += ms;
  }

  /** Resolves when nothing is left to do at the present time. */
  async settle(): Promise<void> {
    do await new Promise<void>(resolve => setImmediate(resolve));
    while (this.#turnQueue.length > 0);
  }

  #endTurn(): void {
    const queue = this.#turnQueue;
    this.#turnQueue = [];
    for (const run of queue) run();
  }

  #fire(timer: VirtualTimer): void {
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    timer.isCancelled = true;
    restoreContext(timer.context, timer.run);
  }

  /** Takes the earliest timer that is due at `target` at the latest. */
  #next(target: number): VirtualTimer | undefined {
    for (let first = this.#heap[0]; first !== undefined && first.dueMs <= target; first = this.#heap[0]) {
      this.#pop();
      if (!first.isCancelled) return first;
    }
    return undefined;
  }

  #push(timer: VirtualTimer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt] as VirtualTimer;
      if (!timer.isBefore(parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let childAt = at * 2 + 1;
      if (childAt >= heap.length) break;
      const right = heap[childAt + 1];
      if (right?.isBefore(heap[childAt] as VirtualTimer)) childAt++;
      const child = heap[childAt] as VirtualTimer;
      if (!child.isBefore(last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
