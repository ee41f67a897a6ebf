/**
 * Counts over the last stretch of time, in buckets: what is older is forgotten by time, whether there is traffic or not.
 * Reading and adding take constant time; the memory is fixed.
 *
 * A bucket leaves as a whole, so the window covers between `(buckets − 1) / buckets` of its length and all of it.
 */
export class SlidingWindow {
  readonly windowMs: number;
  readonly #bucketMs: number;
  readonly #buckets: number;
  readonly #series: number;
  /** `buckets` rows of `series` counts. */
  readonly #counts: Float64Array;
  readonly #totals: Float64Array;
  /** Number of the newest bucket since the clock's origin. */
  #newest = Number.NEGATIVE_INFINITY;
  #row = 0;

  constructor(windowMs: number, buckets: number, series: number) {
    this.windowMs = windowMs;
    this.#bucketMs = windowMs / buckets;
    this.#buckets = buckets;
    this.#series = series;
    this.#counts = new Float64Array(buckets * series);
    this.#totals = new Float64Array(series);
  }

  /** Forgets what is too old. A time before the newest bucket (a clock that stepped back) counts into that bucket. */
  advance(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    if (bucket <= this.#newest) return;
    const passed = bucket - this.#newest;
    this.#newest = bucket;
    if (passed >= this.#buckets) {
      this.#counts.fill(0);
      this.#totals.fill(0);
      return;
    }
    for (let step = 0; step < passed; step++) {
      this.#row = (this.#row + 1) % this.#buckets;
      const start = this.#row * this.#series;
      for (let series = 0; series < this.#series; series++) {
        this.#totals[series] = (this.#totals[series] ?? 0) - (this.#counts[start + series] ?? 0);
        this.#counts[start + series] = 0;
      }
    }
  }

  add(nowMs: number, series: number, amount = 1): void {
    this.advance(nowMs);
    const at = this.#row * this.#series + series;
    this.#counts[at] = (this.#counts[at] ?? 0) + amount;
    this.#totals[series] = (this.#totals[series] ?? 0) + amount;
  }

  /** Takes back what was added in this window, never below nothing. */
  remove(nowMs: number, series: number): void {
    this.advance(nowMs);
    for (let back = 0; back < this.#buckets; back++) {
      const at = ((this.#row - back + this.#buckets) % this.#buckets) * this.#series + series;
      if ((this.#counts[at] ?? 0) < 1) continue;
      this.#counts[at] = (this.#counts[at] ?? 0) - 1;
      this.#totals[series] = (this.#totals[series] ?? 0) - 1;
      return;
    }
  }

  /** The count as of the last `advance` or `add`. */
  total(series: number): number {
    return this.#totals[series] ?? 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#totals.fill(0);
  }
}
