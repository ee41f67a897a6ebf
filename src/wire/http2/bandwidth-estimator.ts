/**
 * Estimates the bandwidth-delay product from the bytes that come between a ping and its answer, as grpc-go does: the
 * round trip is smoothed (mean of the first ten, then 0.9), bandwidth = bytes ÷ (1.5 × round trip). When the sample fills
 * two thirds of the estimate and the bandwidth is a new maximum, the window was the limit: the estimate becomes twice the
 * sample. It never shrinks.
 */
export class BandwidthEstimator {
  #estimateBytes: number;
  readonly #bytesMax: number;
  #sampleBytes = 0;
  #sentAt = 0;
  #samples = 0;
  #roundTripMs = 0;
  #bandwidthMax = 0;
  #isSampling = false;

  constructor(initialBytes: number, bytesMax: number) {
    this.#estimateBytes = initialBytes;
    this.#bytesMax = bytesMax;
  }

  get isSampling(): boolean {
    return this.#isSampling;
  }
  get estimateBytes(): number {
    return this.#estimateBytes;
  }
  get isAtMaximum(): boolean {
    return this.#estimateBytes >= this.#bytesMax;
  }

  /** The ping leaves now; `bytes` were received with the frame that caused it. */
  begin(now: number, bytes: number): void {
    this.#isSampling = true;
    this.#sentAt = now;
    this.#sampleBytes = bytes;
  }

  received(bytes: number): void {
    if (this.#isSampling) this.#sampleBytes += bytes;
  }

  /** The ping was answered. Answers the new estimate when it has grown, otherwise 0. */
  end(now: number): number {
    if (!this.#isSampling) return 0;
    this.#isSampling = false;
    const roundTripMs = Math.max(now - this.#sentAt, 0.01);
    this.#samples++;
    if (this.#samples < 10) this.#roundTripMs += (roundTripMs - this.#roundTripMs) / this.#samples;
    else this.#roundTripMs += (roundTripMs - this.#roundTripMs) * 0.9;
    const bandwidth = this.#sampleBytes / (this.#roundTripMs * 1.5);
    if (bandwidth > this.#bandwidthMax) this.#bandwidthMax = bandwidth;
    const isFull = this.#sampleBytes >= 0.66 * this.#estimateBytes && bandwidth === this.#bandwidthMax;
    if (!isFull || this.isAtMaximum) return 0;
    this.#estimateBytes = Math.min(this.#sampleBytes * 2, this.#bytesMax);
    return this.#estimateBytes;
  }
}
