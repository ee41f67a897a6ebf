/**
 * Finds the window that a connection needs: the bandwidth-delay product. A sample are the bytes that came from the last
 * time the window was opened until a ping that left with the opening is answered. A peer that the window holds back has
 * sent all of it by then; one that has nothing to send, or a slow line, has not. When the sample fills two thirds of the
 * window, the window becomes twice the sample; it never shrinks.
 *
 * grpc-go, whose idea this is, also asks for a new maximum of the bandwidth. On a fast line one lucky round trip is never
 * reached again, and the window stays small for good; what a large window costs is bounded by the limits anyway.
 */
export class BandwidthEstimator {
  #estimateBytes: number;
  readonly #bytesMax: number;
  #sampleBytes = 0;
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

  /** The ping leaves now; `bytes` have come since the window was opened before. */
  begin(bytes: number): void {
    this.#isSampling = true;
    this.#sampleBytes = bytes;
  }

  received(bytes: number): void {
    if (this.#isSampling) this.#sampleBytes += bytes;
  }

  /** The ping was answered. Answers the new estimate when it has grown, otherwise 0. */
  end(): number {
    if (!this.#isSampling) return 0;
    this.#isSampling = false;
    const isFull = this.#sampleBytes >= 0.66 * this.#estimateBytes;
    if (!isFull || this.isAtMaximum) return 0;
    this.#estimateBytes = Math.min(this.#sampleBytes * 2, this.#bytesMax);
    return this.#estimateBytes;
  }
}
