import type { Lane, RecordSink, StoredRecord } from "../../src/events/index.ts";

/** What a driver has told its sink; settles nothing by itself unless `settles`. */
export class RecordingSink implements RecordSink {
  readonly lanes: Lane[] = [];
  readonly deliveries: { readonly lane: Lane; readonly record: StoredRecord }[] = [];
  readonly lostLanes: Lane[] = [];
  readonly failures: Error[] = [];
  /** Of the deliveries, as text. */
  readonly bodies: string[] = [];
  readonly #settles: boolean;
  readonly #waiters = new Set<() => void>();

  constructor(settles = true) {
    this.#settles = settles;
  }

  opened(lane: Lane): void {
    this.lanes.push(lane);
    this.#changed();
  }

  records(lane: Lane, records: readonly StoredRecord[]): void {
    for (const record of records) {
      this.deliveries.push({ lane, record });
      this.bodies.push(Buffer.from(record.body).toString());
      if (this.#settles) lane.settle(record);
    }
    this.#changed();
  }

  async revoke(lane: Lane): Promise<void> {
    this.lost(lane);
  }

  lost(lane: Lane): void {
    this.lostLanes.push(lane);
    this.#changed();
  }

  failed(error: Error): void {
    this.failures.push(error);
    this.#changed();
  }

  /** Resolves once it holds; the time is a guard, no measure. */
  async until(holds: () => boolean, what: string, guardMs = 30_000): Promise<void> {
    const guard = AbortSignal.timeout(guardMs);
    while (!holds()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const aborted = () => resolve();
      guard.addEventListener("abort", aborted);
      this.#waiters.add(resolve);
      await promise;
      guard.removeEventListener("abort", aborted);
      if (guard.aborted) throw new Error(`${what}: not within ${guardMs} ms; got ${this.bodies.length} deliveries`);
    }
  }

  #changed(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }
}
