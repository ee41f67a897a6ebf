/**
 * How latency and throughput went along with concurrent work over the last samples: Pearson's r, 0 while it cannot be
 * known (too few samples, or one of the two did not vary).
 */
export class LoadCorrelation {
  readonly #size: number;
  readonly #load: Float64Array;
  readonly #latency: Float64Array;
  readonly #throughput: Float64Array;
  #count = 0;

  constructor(size: number) {
    this.#size = size;
    this.#load = new Float64Array(size);
    this.#latency = new Float64Array(size);
    this.#throughput = new Float64Array(size);
  }

  add(load: number, latency: number, throughput: number): void {
    const at = this.#count++ % this.#size;
    this.#load[at] = load;
    this.#latency[at] = latency;
    this.#throughput[at] = throughput;
  }

  get latency(): number {
    return this.#pearson(this.#latency);
  }

  get throughput(): number {
    return this.#pearson(this.#throughput);
  }

  #pearson(other: Float64Array): number {
    const count = Math.min(this.#count, this.#size);
    if (count < 5) return 0;
    let loadMean = 0;
    let otherMean = 0;
    for (let at = 0; at < count; at++) {
      loadMean += (this.#load[at] ?? 0) / count;
      otherMean += (other[at] ?? 0) / count;
    }
    let covariance = 0;
    let loadVariance = 0;
    let otherVariance = 0;
    for (let at = 0; at < count; at++) {
      const loadOff = (this.#load[at] ?? 0) - loadMean;
      const otherOff = (other[at] ?? 0) - otherMean;
      covariance += loadOff * otherOff;
      loadVariance += loadOff * loadOff;
      otherVariance += otherOff * otherOff;
    }
    const r = covariance / Math.sqrt(loadVariance * otherVariance);
    return Number.isFinite(r) ? r : 0;
  }
}
