import { Rejection } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import { rateKeysMax, rateQueue, rateWaitMs } from "./limits.ts";
import { count, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { RateQueue } from "./rate-queue.ts";
import { execute } from "./run.ts";
import { Waiter } from "./waiter.ts";

export interface RateLimitOptions extends PartOptions {
  /** Calls per `perMs`, for each key. */
  readonly calls: number;
  /** The time to which `calls` refers, in milliseconds. @default 1,000 */
  readonly perMs?: number | undefined;
  /** Calls that may come at once after a pause. 1 is smooth: calls are evenly spaced. @default calls: bursty */
  readonly burst?: number | undefined;
  /**
   * Lets calls that come too early wait for their turn, first come first served, instead of rejecting them; `{}`: with the
   * defaults. One whose turn would come after its deadline or the longest wait is rejected at once. @default nobody waits
   */
  readonly wait?: RateWaitOptions | undefined;
  /** Keys that are remembered; when all are busy, further ones share one allowance. @default 10,000 */
  readonly keysMax?: number | undefined;
}

export interface RateWaitOptions {
  /** Longest wait in milliseconds. @default 5,000 */
  readonly maxWaitMs?: number | undefined;
  /** Calls that wait, for each key; of all keys together no more than `keysMax`. @default 100 */
  readonly queue?: number | undefined;
}

class RatePermit extends Permit {
  readonly key: string | undefined;
  /** Whether the call can be given back: not into the allowance that strangers share. */
  readonly isOwn: boolean;

  constructor(owner: PermitOwner, nowMs: number, key: string | undefined, isOwn: boolean) {
    super(owner, 0, nowMs);
    this.key = key;
    this.isOwn = isOwn;
  }
}

/**
 * Bounds how many calls begin in a time, per key. Made by {@link rateLimit}.
 *
 * A key's whole state is one number: the time at which its next call would be due if all came evenly spaced (the
 * "theoretical arrival time" of GCRA). A key whose time has come is like one never seen, and may be forgotten.
 */
export class RateLimit implements PermitOwner {
  readonly #clock: Clock;
  readonly #spacingMs: number;
  /** How far ahead of its time a call may come. */
  readonly #toleranceMs: number;
  readonly #keysMax: number;
  readonly #dueMs = new Map<string, number>();
  /** Of calls without a key. */
  #ownDueMs = Number.NEGATIVE_INFINITY;
  readonly #maxWaitMs: number;
  readonly #queueMax: number;
  readonly #waiting = new Map<string | undefined, RateQueue>();
  #waitingCount = 0;
  /** Of all keys that found no room. */
  #sharedDueMs = Number.NEGATIVE_INFINITY;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong */
  constructor(options: RateLimitOptions, path = "rateLimit") {
    knownOptions(path, options, [...partOptionNames, "calls", "perMs", "burst", "wait", "keysMax"]);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    const calls = numberOption(`${path}.calls`, options.calls, Number.NaN, { min: Number.MIN_VALUE, max: 1e9 });
    if (Number.isNaN(calls))
      throw new TypeError(`${path}.calls: expected a number above 0 to 1000000000, got undefined`);
    const perMs = numberOption(`${path}.perMs`, options.perMs, 1_000, durationMs);
    const burst = numberOption(`${path}.burst`, options.burst, Math.max(1, Math.floor(calls)), { ...count, max: 1e9 });
    this.#spacingMs = perMs / calls;
    this.#toleranceMs = this.#spacingMs * (burst - 1);
    this.#keysMax = numberOption(`${path}.keysMax`, options.keysMax, rateKeysMax, { ...count, max: 10_000_000 });
    const { wait } = options;
    if (wait !== undefined) knownOptions(`${path}.wait`, wait, ["maxWaitMs", "queue"]);
    this.#maxWaitMs = numberOption(`${path}.wait.maxWaitMs`, wait?.maxWaitMs, rateWaitMs, durationMs);
    this.#queueMax = wait === undefined ? 0 : numberOption(`${path}.wait.queue`, wait.queue, rateQueue, count);
    this.#alone = planOf(machine, { name: options.name, rateLimit: this });
  }

  /** Whether calls may wait for their turn. */
  get waits(): boolean {
    return this.#queueMax > 0;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waitingCount;
  }

  /** Keys that are remembered now. */
  get keys(): number {
    return this.#dueMs.size;
  }

  /**
   * Asks whether one more call may begin now; those who wait already come first. `ignore()` on the permit gives the call back, for work that was not begun.
   *
   * @param key whose allowance it is; without one, the limit's own
   */
  acquire(key?: string, nowMs = this.#clock.now()): Admission {
    if (this.#waitingCount > 0 && this.#waiting.has(key)) return this.#rejection(key, nowMs);
    return this.#take(key, nowMs);
  }

  /**
   * Lets work wait that `acquire` has rejected.
   *
   * @returns a rejection when too many wait or its turn would come too late, otherwise `undefined`: the waiter will be told
   */
  enqueue(waiter: Waiter, key?: string, nowMs = this.#clock.now()): Rejection | undefined {
    const rejection = this.#rejection(key, nowMs);
    const inMs = rejection.retryAfterMs ?? 0;
    // Those who share one allowance because the table is full do not wait: they would wait for strangers.
    if (this.#queueMax === 0 || (key !== undefined && !this.#dueMs.has(key))) return rejection;
    if (waiter.deadlineAt <= nowMs) return new Rejection("deadline");
    if (inMs > this.#maxWaitMs || nowMs + inMs >= waiter.deadlineAt) return rejection;
    let queue = this.#waiting.get(key);
    if ((queue?.count ?? 0) >= this.#queueMax || this.#waitingCount >= this.#keysMax) return rejection;
    if (queue === undefined) {
      queue = new RateQueue(key, left => this.#left(left));
      this.#waiting.set(key, queue);
    }
    queue.join(waiter);
    this.#waitingCount++;
    if (queue.count === 1) this.#arm(queue, inMs);
    return undefined;
  }

  /**
   * Asks for a turn and waits for it if need be and if the limit has `wait`.
   *
   * @param options.signal gives the wait up; whoever waits behind moves up
   * @param options.deadline monotonic time in milliseconds after which the work is worthless
   * @throws the signal's reason
   */
  async wait(key?: string, options: Pick<RunOptions, "signal" | "deadline"> = {}): Promise<Admission> {
    const { signal, deadline = Number.POSITIVE_INFINITY } = options;
    signal?.throwIfAborted();
    const nowMs = this.#clock.now();
    if (deadline <= nowMs) return new Rejection("deadline");
    const admission = this.acquire(key, nowMs);
    if (!admission.rejected) return admission;
    return new Promise((resolve, reject) => {
      const abort = () => {
        if (waiter.leave()) reject(signal?.reason);
      };
      const waiter = new Waiter(deadline, decided => {
        signal?.removeEventListener("abort", abort);
        resolve(decided);
      });
      const refused = this.enqueue(waiter, key, nowMs);
      if (refused !== undefined) resolve(refused);
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  #take(key: string | undefined, nowMs: number): Admission {
    const isKnown = key !== undefined && this.#dueMs.has(key);
    const hasRoom = key === undefined || isKnown || this.#makeRoom(nowMs);
    const dueMs = this.#read(key, hasRoom, nowMs);
    const earlyMs = dueMs - nowMs;
    // Sums of spacings are rounded; a call must not wait a nanosecond for that.
    if (earlyMs > this.#toleranceMs + this.#spacingMs * 1e-9) {
      // Kept, because it may have been corrected for a clock that stepped back.
      this.#write(key, hasRoom, dueMs);
      return new Rejection("rate_limited", earlyMs - this.#toleranceMs);
    }
    this.#write(key, hasRoom, dueMs + this.#spacingMs);
    return new RatePermit(this, nowMs, key, hasRoom);
  }

  /** Guards one piece of work; `key` (or `rateKey`) of the options says whose allowance it takes. @throws RejectedError `rate_limited` */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }

  /** For permits. */
  settle(permit: Permit, outcome: Outcome, _kind: FailureKind): void {
    const { key, isOwn } = permit as RatePermit;
    if (outcome !== "ignore" || !isOwn) return;
    if (key === undefined) this.#ownDueMs -= this.#spacingMs;
    else {
      const dueMs = this.#dueMs.get(key);
      if (dueMs !== undefined) this.#dueMs.set(key, dueMs - this.#spacingMs);
    }
    const queue = this.#waiting.get(key);
    if (queue !== undefined) this.#arm(queue, this.#earlyMs(key, this.#clock.now()));
  }

  /** How long until one more call may begin, were nobody waiting; 0 and less: now. */
  #earlyMs(key: string | undefined, nowMs: number): number {
    const hasRoom = key === undefined || this.#dueMs.has(key);
    return this.#read(key, hasRoom, nowMs) - nowMs - this.#toleranceMs;
  }

  /** Says when a call that came now would have its turn, behind those who wait. */
  #rejection(key: string | undefined, nowMs: number): Rejection {
    const before = this.#waiting.get(key)?.count ?? 0;
    return new Rejection("rate_limited", Math.max(0, this.#earlyMs(key, nowMs)) + before * this.#spacingMs);
  }

  #arm(queue: RateQueue, inMs: number): void {
    queue.timer?.cancel();
    queue.timer = this.#clock.after(Math.max(0, inMs), () => this.#admitWaiting(queue), true);
  }

  #admitWaiting(queue: RateQueue): void {
    const nowMs = this.#clock.now();
    for (let first = queue.first; first !== undefined; first = queue.first) {
      if (first.deadlineAt <= nowMs) {
        queue.leave(first);
        first.decide(new Rejection("deadline"));
        continue;
      }
      const admission = this.#take(queue.key, nowMs);
      if (admission.rejected) {
        this.#arm(queue, admission.retryAfterMs ?? 0);
        return;
      }
      queue.leave(first);
      first.decide(admission);
    }
  }

  /** Somebody waits no longer. */
  #left(queue: RateQueue): void {
    this.#waitingCount--;
    if (queue.count > 0) return;
    queue.timer?.cancel();
    this.#waiting.delete(queue.key);
  }

  /** A time that has come counts as now; one that is further away than it can be comes from a clock that stepped back. */
  #read(key: string | undefined, hasRoom: boolean, nowMs: number): number {
    const dueMs = key === undefined ? this.#ownDueMs : hasRoom ? this.#dueMs.get(key) : this.#sharedDueMs;
    if (dueMs === undefined || dueMs < nowMs) return nowMs;
    return Math.min(dueMs, nowMs + this.#toleranceMs + this.#spacingMs);
  }

  #write(key: string | undefined, hasRoom: boolean, dueMs: number): void {
    if (key === undefined) this.#ownDueMs = dueMs;
    else if (hasRoom) this.#dueMs.set(key, dueMs);
    else this.#sharedDueMs = dueMs;
  }

  /**
   * Looks at the two keys that were not looked at for the longest time and forgets those whose time has come: more keys
   * are forgotten than are added, in constant time.
   */
  #makeRoom(nowMs: number): boolean {
    let looked = 0;
    for (const [key, dueMs] of this.#dueMs) {
      if (looked++ === 2) break;
      this.#dueMs.delete(key);
      if (dueMs > nowMs || this.#waiting.has(key)) this.#dueMs.set(key, dueMs);
    }
    return this.#dueMs.size < this.#keysMax;
  }
}

/**
 * A rate limit, for all calls together or for each key.
 *
 * ```ts
 * const perTenant = rateLimit({ calls: 100, perMs: 1_000, burst: 20, wait: { maxWaitMs: 2_000 } });
 * const order = await perTenant.run(signal => fetchOrder("123", signal), { key: "tenant-7" });
 * ```
 *
 * Generic cell rate algorithm (ITU-T I.371): a token bucket of `burst` tokens without a timer to fill it.
 *
 * @throws TypeError, RangeError when an option is wrong
 */
export function rateLimit(options: RateLimitOptions): RateLimit {
  return new RateLimit(options);
}
