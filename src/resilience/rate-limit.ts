import { Rejection } from "../errors/index.ts";
import type { Clock } from "../platform/index.ts";
import { rateKeysMax } from "./limits.ts";
import { count, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";

export interface RateLimitOptions extends PartOptions {
  /** Calls per `perMs`, for each key. */
  readonly calls: number;
  /** The time to which `calls` refers, in milliseconds. @default 1,000 */
  readonly perMs?: number | undefined;
  /** Calls that may come at once after a pause. 1 is smooth: calls are evenly spaced. @default calls: bursty */
  readonly burst?: number | undefined;
  /** Keys that are remembered; when all are busy, further ones share one allowance. @default 10,000 */
  readonly keysMax?: number | undefined;
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
  /** Of all keys that found no room. */
  #sharedDueMs = Number.NEGATIVE_INFINITY;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong */
  constructor(options: RateLimitOptions, path = "rateLimit") {
    knownOptions(path, options, [...partOptionNames, "calls", "perMs", "burst", "keysMax"]);
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
    this.#alone = planOf(machine, { name: options.name, rateLimit: this });
  }

  /** Keys that are remembered now. */
  get keys(): number {
    return this.#dueMs.size;
  }

  /**
   * Asks whether one more call may begin now. `ignore()` on the permit gives the call back, for work that was not begun.
   *
   * @param key whose allowance it is; without one, the limit's own
   */
  acquire(key?: string, nowMs = this.#clock.now()): Admission {
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
    if (key === undefined) {
      this.#ownDueMs -= this.#spacingMs;
      return;
    }
    const dueMs = this.#dueMs.get(key);
    if (dueMs !== undefined) this.#dueMs.set(key, dueMs - this.#spacingMs);
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
      if (dueMs > nowMs) this.#dueMs.set(key, dueMs);
    }
    return this.#dueMs.size < this.#keysMax;
  }
}

/**
 * A rate limit, for all calls together or for each key.
 *
 * ```ts
 * const perTenant = rateLimit({ calls: 100, perMs: 1_000, burst: 20 });
 * const admission = perTenant.acquire("tenant-7");
 * ```
 *
 * Generic cell rate algorithm (ITU-T I.371): a token bucket of `burst` tokens without a timer to fill it.
 *
 * @throws TypeError, RangeError when an option is wrong
 */
export function rateLimit(options: RateLimitOptions): RateLimit {
  return new RateLimit(options);
}
