import type { Clock } from "../platform/index.ts";
import { isOutage } from "./fallback.ts";
import { cacheEntriesMax, cacheStaleMs } from "./limits.ts";
import { count, durationMs, functionOption, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { planOf, type Recovery } from "./plan.ts";
import { execute } from "./run.ts";

export interface StaleCacheOptions extends PartOptions {
  /** Oldest value that is served, in milliseconds since it was fetched. @default 60,000 */
  readonly staleMs?: number | undefined;
  /** Values that are kept; the one that was not fetched for the longest time goes first. @default 1,000 */
  readonly entriesMax?: number | undefined;
  /** Which errors are answered. @default failures of the target and rejections, not answers such as `not_found` */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

interface Entry {
  readonly value: unknown;
  readonly fetchedAtMs: number;
}

/**
 * Remembers the last good value of each key and serves it when the target cannot answer. Never serves a value while the
 * target answers. Made by {@link staleIfError}.
 */
export class StaleCache implements Recovery {
  readonly #clock: Clock;
  readonly #staleMs: number;
  readonly #entriesMax: number;
  readonly #when: (error: unknown) => boolean;
  /** In order of fetching, oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong */
  constructor(options: StaleCacheOptions = {}, path = "cache") {
    knownOptions(path, options, [...partOptionNames, "staleMs", "entriesMax", "when"]);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    this.#staleMs = numberOption(`${path}.staleMs`, options.staleMs, cacheStaleMs, durationMs);
    this.#entriesMax = numberOption(`${path}.entriesMax`, options.entriesMax, cacheEntriesMax, count);
    functionOption(`${path}.when`, options.when);
    this.#when = options.when ?? isOutage;
    this.#alone = planOf(machine, { name: options.name, recovery: this });
  }

  /** Values that are kept. */
  get size(): number {
    return this.#entries.size;
  }

  remember(value: unknown, options: RunOptions | undefined): void {
    const key = options?.key;
    if (key === undefined) return;
    this.#entries.delete(key);
    this.#entries.set(key, { value, fetchedAtMs: this.#clock.now() });
    if (this.#entries.size <= this.#entriesMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  recover(error: unknown, options: RunOptions | undefined): { readonly value: unknown } | undefined {
    const key = options?.key;
    if (key === undefined || !this.#when(error)) return undefined;
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#clock.now() - entry.fetchedAtMs <= this.#staleMs) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  /** Forgets one value, or all. */
  forget(key?: string): void {
    if (key === undefined) this.#entries.clear();
    else this.#entries.delete(key);
  }

  /** Guards one read; `key` of the options says what is read, and without it nothing is remembered. */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }
}

/**
 * A bounded cache of last good values, served only instead of an error (`stale-if-error`, RFC 5861, section 4). Values are
 * kept by reference: whoever gets one must not change it.
 *
 * ```ts
 * const prices = staleIfError({ staleMs: 60_000 });
 * const price = await prices.run(signal => fetchPrice("p1", signal), { key: "p1" });
 * ```
 *
 * @throws TypeError, RangeError when an option is wrong
 */
export function staleIfError(options: StaleCacheOptions = {}): StaleCache {
  return new StaleCache(options);
}
