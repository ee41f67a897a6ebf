/** Something that is due at a time; ids tell those of one time apart and grow. */
export interface Due {
  readonly id: number;
  readonly dueMs: number;
}

/** Things in the order in which they come due. Looking is constant, adding and removing find their place by halving. */
export class DueQueue<T extends Due> implements Iterable<T> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  get nextDueMs(): number {
    return this.#items[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  add(item: T): void {
    this.#items.splice(this.#placeOf(item), 0, item);
  }

  remove(item: T): boolean {
    const at = this.#placeOf(item);
    if (this.#items[at]?.id !== item.id) return false;
    this.#items.splice(at, 1);
    return true;
  }

  /** Takes what is due. */
  take(nowMs: number): readonly T[] {
    return this.#items.splice(0, this.#placeOf({ id: Number.POSITIVE_INFINITY, dueMs: nowMs }));
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  /** Of the first that is not before `item`. */
  #placeOf({ id, dueMs }: Due): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const one = this.#items[middle] as T;
      if (one.dueMs < dueMs || (one.dueMs === dueMs && one.id < id)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
