import { hedgePeriods, hedgeRefreshMs } from "./limits.ts";

/** Buckets per doubling of latency: a quantile is known to about 6 %. */
const bucketsPerDoubling = 8;
/** Latencies from 2⁻⁷ ms (8 µs) to 2²³ ms (2 h 20 min). */
const lowestExponent = -7;
const bucketCount = 30 * bucketsPerDoubling;

/**
 * A quantile of the latencies of the last 30 s, computed anew every 3 s. Log-linear histograms, one per period, and their
 * sum: adding and forgetting take constant time, and the memory is 10 KiB whatever the traffic.
 */
export class LatencyQuantile {
  readonly #quantile: number;
  readonly #minimumCalls: number;
  readonly #periods: Uint32Array[] = Array.from({ length: hedgePeriods }, () => new Uint32Array(bucketCount));
  readonly #sum = new Uint32Array(bucketCount);
  #total = 0;
  /** Number of the present period since the clock's origin. */
  #period = Number.NEGATIVE_INFINITY;
  #valueMs: number | undefined;

  constructor(quantile: number, minimumCalls: number) {
    this.#quantile = quantile;
    this.#minimumCalls = minimumCalls;
  }

  add(nowMs: number, latencyMs: number): void {
    if (Number.isNaN(latencyMs)) return;
    this.#advance(nowMs);
    const bucket = bucketOf(latencyMs);
    const present = this.#present();
    present[bucket] = (present[bucket] ?? 0) + 1;
    this.#sum[bucket] = (this.#sum[bucket] ?? 0) + 1;
    this.#total++;
  }

  /** The quantile in milliseconds as of the last refresh; `undefined` while too few latencies are known. */
  value(nowMs: number): number | undefined {
    this.#advance(nowMs);
    return this.#valueMs;
  }

  #present(): Uint32Array {
    return this.#periods[((this.#period % hedgePeriods) + hedgePeriods) % hedgePeriods] as Uint32Array;
  }

  #advance(nowMs: number): void {
    const period = Math.floor(nowMs / hedgeRefreshMs);
    if (period <= this.#period) return;
    // Of what was observed until now, before the oldest is forgotten.
    const passed = Math.min(period - this.#period, hedgePeriods);
    for (let step = passed; step > 0; step--) {
      this.#period = period - step + 1;
      const leaving = this.#present();
      for (let bucket = 0; bucket < bucketCount; bucket++) {
        const count = leaving[bucket] ?? 0;
        if (count === 0) continue;
        this.#sum[bucket] = (this.#sum[bucket] ?? 0) - count;
        this.#total -= count;
        leaving[bucket] = 0;
      }
    }
    this.#valueMs = this.#compute();
  }

  #compute(): number | undefined {
    if (this.#total < this.#minimumCalls) return undefined;
    const rank = Math.ceil(this.#quantile * this.#total);
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#sum[bucket] ?? 0;
      if (seen >= rank) return upperBoundOf(bucket);
    }
    return undefined;
  }
}

function bucketOf(latencyMs: number): number {
  if (!(latencyMs > 2 ** lowestExponent)) return 0;
  const bucket = Math.floor((Math.log2(latencyMs) - lowestExponent) * bucketsPerDoubling);
  return Math.min(bucket, bucketCount - 1);
}

function upperBoundOf(bucket: number): number {
  return 2 ** (lowestExponent + (bucket + 1) / bucketsPerDoubling);
}
