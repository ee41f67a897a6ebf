import { outsideContext, type Platform, type Timer } from "../../platform/index.ts";
import { jitter, resolveIntervalMinMs, resolveTimeoutMs, retryMaxMs, retryMinMs } from "./limits.ts";
import type { Publication } from "./publication.ts";
import type { ResolvedEndpoint, Resolver, ResolverListener } from "./resolver.ts";

/** The outcome of one resolution. */
export interface Resolution {
  readonly endpoints: readonly ResolvedEndpoint[];
  /** When to look again. Infinity: the answer cannot change. */
  readonly ttlMs: number;
}

/** Where a {@link RefreshingResolver} looks. */
export interface Source {
  /** Rejects when there is no answer, or none that can be used. */
  resolve(): Promise<Resolution>;
  /** The longest pause between attempts while they fail. @default 30_000 */
  readonly retryMaxMs?: number | undefined;
  close(): void;
}

/**
 * A resolver that asks its source again and again: when an answer has lived its time, when connections fail, and after
 * failures with growing pauses. At most one resolution is under way.
 */
export class RefreshingResolver implements Resolver {
  readonly #source: Source;
  readonly #publication: Publication;
  readonly #platform: Platform;
  #isRunning = false;
  #isClosed = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  #dueMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #failures = 0;

  constructor(source: Source, publication: Publication, platform: Platform) {
    this.#source = source;
    this.#publication = publication;
    this.#platform = platform;
  }

  start(listener: ResolverListener): void {
    this.#publication.open(listener);
    outsideContext(() => void this.#run());
  }

  resolveNow(): boolean {
    if (this.#isClosed || this.#isRunning) return this.#isRunning;
    const nowMs = this.#platform.clock.now();
    // Planned for so soon that a hint changes nothing; jumping ahead would undo its jitter.
    if (this.#dueMs - nowMs <= resolveIntervalMinMs * jitter) return false;
    const waitMs = this.#startedMs + resolveIntervalMinMs - nowMs;
    if (waitMs > 0) {
      this.#schedule(waitMs);
      return false;
    }
    outsideContext(() => void this.#run());
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#publication.close();
    this.#source.close();
  }

  async #run(): Promise<void> {
    const { clock } = this.#platform;
    this.#isRunning = true;
    this.#startedMs = clock.now();
    this.#timer?.cancel();
    this.#dueMs = Number.POSITIVE_INFINITY;
    let timeout: Timer | undefined;
    const tooLate = new Promise<never>((_resolve, reject) => {
      timeout = clock.after(resolveTimeoutMs, () => reject(new Error(`no answer within ${resolveTimeoutMs} ms`)));
    });
    try {
      const { endpoints, ttlMs } = await Promise.race([this.#source.resolve(), tooLate]);
      if (this.#isClosed) return;
      this.#failures = 0;
      this.#isRunning = false;
      this.#schedule(ttlMs);
      this.#publication.found(endpoints);
    } catch (error) {
      if (this.#isClosed) return;
      this.#isRunning = false;
      this.#schedule(Math.min(retryMinMs * 2 ** this.#failures, this.#source.retryMaxMs ?? retryMaxMs));
      this.#failures = Math.min(this.#failures + 1, 30);
      this.#publication.failed(error);
    } finally {
      timeout?.cancel();
      this.#isRunning = false;
    }
  }

  /** The next resolution, unless an earlier one is planned. */
  #schedule(delayMs: number): void {
    const { clock, random } = this.#platform;
    // Spread to the later side only: a time to live is kept, and the interval of hints as well.
    const dueMs = clock.now() + Math.max(delayMs, 1) * (1 + jitter * random.next());
    if (this.#isClosed || dueMs >= this.#dueMs) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    this.#timer = outsideContext(() => clock.after(dueMs - clock.now(), () => void this.#run()));
  }
}
