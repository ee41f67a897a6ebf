/** What a channel has to be told: `ack` with all up to `upTo`, and each of `single`. */
export interface Acks {
  /** 0: nothing. */
  readonly upTo: number;
  readonly single: readonly number[];
}

/**
 * Unsettled deliveries of a channel in the order of their tags, so that many settlements become one acknowledgement. Those
 * before the first that is still in work go together ("multiple"); the others go one by one, to make room in the prefetch.
 */
export class AckWindow {
  /** Delivered and not told of yet, by tag, lowest first; `true`: settled. */
  readonly #open = new Map<number, boolean>();
  #settled: number[] = [];

  /** Deliveries that the broker still counts. */
  get size(): number {
    return this.#open.size;
  }

  delivered(tag: number): void {
    this.#open.set(tag, false);
  }

  /** `false`: it has been settled or given back before. */
  settle(tag: number): boolean {
    if (this.#open.get(tag) !== false) return false;
    this.#open.set(tag, true);
    this.#settled.push(tag);
    return true;
  }

  /** It goes back by itself. `false`: it has been settled or given back before. */
  giveBack(tag: number): boolean {
    if (this.#open.get(tag) !== false) return false;
    this.#open.delete(tag);
    return true;
  }

  /** What has been settled since the last time. What was given back must have been told before. */
  take(): Acks {
    if (this.#settled.length === 0) return { upTo: 0, single: [] };
    let upTo = 0;
    for (const [tag, isSettled] of this.#open) {
      if (!isSettled) break;
      upTo = tag;
      this.#open.delete(tag);
    }
    const single = this.#settled.filter(tag => tag > upTo);
    for (const tag of single) this.#open.delete(tag);
    this.#settled = [];
    return { upTo, single };
  }
}
