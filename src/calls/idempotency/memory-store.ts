import { type Platform, systemPlatform } from "../../platform/index.ts";
import { memoryBytesMax, memoryEntriesMax, memorySweepMs } from "./limits.ts";
import type { IdempotencyClaim, IdempotencyStore, IdempotencyTicket } from "./store.ts";

export interface MemoryIdempotencyStoreOptions {
  /** Keys that are held at a time. @default 10,000 */
  readonly entriesMax?: number | undefined;
  /** Bytes of answers that are held at a time; the calls that run then may add theirs. @default 64 MiB */
  readonly bytesMax?: number | undefined;
  readonly platform?: Platform | undefined;
}

interface Entry {
  readonly fingerprint: Uint8Array;
  readonly operation: string;
  /** `undefined`: settled or abandoned. */
  holder: string | undefined;
  leaseUntil: number;
  /** Counts when nobody holds the key. */
  expiresAt: number;
  answer: Uint8Array | undefined;
}

class MemoryIdempotencyStore implements IdempotencyStore {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesMax: number;
  readonly #bytesMax: number;
  readonly #platform: Platform;
  #bytes = 0;
  #sweepAt = Number.POSITIVE_INFINITY;

  constructor(options: MemoryIdempotencyStoreOptions) {
    this.#entriesMax = options.entriesMax ?? memoryEntriesMax;
    this.#bytesMax = options.bytesMax ?? memoryBytesMax;
    this.#platform = options.platform ?? systemPlatform;
    for (const [name, value] of Object.entries({ entriesMax: this.#entriesMax, bytesMax: this.#bytesMax })) {
      if (!(value > 0)) throw new TypeError(`memoryIdempotencyStore: ${name} must be above 0, got ${value}`);
    }
  }

  begin({ scope, key, fingerprint, holder, leaseMs, ttlMs }: IdempotencyTicket): IdempotencyClaim {
    const now = this.#platform.clock.now();
    if (now >= this.#sweepAt) this.#sweep(now);
    const id = idOf(scope, key);
    let entry = this.#entries.get(id);
    if (entry !== undefined && hasExpired(entry, now)) {
      this.#remove(id, entry);
      entry = undefined;
    }
    if (entry === undefined) {
      if (this.#entries.size >= this.#entriesMax || this.#bytes >= this.#bytesMax) throw this.#full();
      entry = { fingerprint, operation: holder, holder, leaseUntil: 0, expiresAt: 0, answer: undefined };
      this.#entries.set(id, entry);
    } else {
      if (Buffer.compare(entry.fingerprint, fingerprint) !== 0) return { kind: "mismatch" };
      if (entry.answer !== undefined) return { kind: "stored", answer: entry.answer };
      if (entry.holder !== undefined && entry.leaseUntil > now) return { kind: "running" };
      entry.holder = holder;
    }
    entry.leaseUntil = now + leaseMs;
    this.#expire(entry, now + ttlMs);
    return { kind: "new", operation: entry.operation };
  }

  renew(ticket: IdempotencyTicket): boolean {
    const entry = this.#held(ticket);
    if (entry === undefined) return false;
    const now = this.#platform.clock.now();
    entry.leaseUntil = now + ticket.leaseMs;
    this.#expire(entry, now + ticket.ttlMs);
    return true;
  }

  complete(ticket: IdempotencyTicket, answer: Uint8Array): boolean {
    const entry = this.#held(ticket);
    if (entry === undefined) return false;
    entry.holder = undefined;
    entry.answer = answer;
    this.#bytes += answer.length;
    this.#expire(entry, this.#platform.clock.now() + ticket.ttlMs);
    return true;
  }

  abandon(ticket: IdempotencyTicket): boolean {
    const entry = this.#held(ticket);
    if (entry === undefined) return false;
    entry.holder = undefined;
    this.#expire(entry, this.#platform.clock.now() + ticket.ttlMs);
    return true;
  }

  #held({ scope, key, holder }: IdempotencyTicket): Entry | undefined {
    const entry = this.#entries.get(idOf(scope, key));
    // What has expired may have been removed already or not: it counts as removed.
    if (entry?.holder !== holder || hasExpired(entry, this.#platform.clock.now())) return undefined;
    return entry;
  }

  #expire(entry: Entry, at: number): void {
    entry.expiresAt = at;
    this.#sweepAt = Math.min(this.#sweepAt, at);
  }

  #sweep(now: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const [id, entry] of this.#entries) {
      if (hasExpired(entry, now)) this.#remove(id, entry);
      else next = Math.min(next, entry.expiresAt);
    }
    this.#sweepAt = Math.max(next, now + memorySweepMs);
  }

  #remove(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.answer?.length ?? 0;
  }

  #full(): Error {
    return new Error(
      `the memory store of idempotency keys is full: ${this.#entries.size} of at most ${this.#entriesMax} keys, ` +
        `${this.#bytes} of at most ${this.#bytesMax} bytes; raise entriesMax or bytesMax, or use a database`,
    );
  }
}

function hasExpired({ holder, leaseUntil, expiresAt }: Entry, now: number): boolean {
  return expiresAt <= now && (holder === undefined || leaseUntil <= now);
}

/** A scope may hold any character but this one: paths and principals have no NUL, and keys are visible. */
function idOf(scope: string, key: string): string {
  return `${key}\0${scope}`;
}

/**
 * Keys and answers in the memory of one process: for tests, and for services that run as one process and may forget on a
 * restart. When it is full, new keys are refused; what is promised for the old ones is kept.
 *
 * ```ts
 * idempotency({ store: memoryIdempotencyStore({ entriesMax: 50_000 }) });
 * ```
 * @throws TypeError for a limit that is not above 0
 */
export function memoryIdempotencyStore(options: MemoryIdempotencyStoreOptions = {}): IdempotencyStore {
  return new MemoryIdempotencyStore(options);
}
