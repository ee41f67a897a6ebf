import { watermarkSlots } from "./limits.ts";

/**
 * The highest offset below which all that was delivered is settled: what a log broker commits. Records are settled in any
 * order; offsets ascend and may have gaps, as in compacted or transactional topics. Every operation takes constant time,
 * amortised. Memory grows with the records between the watermark and the newest; who delivers bounds these.
 */
export class Watermark {
  /** A ring: a delivered record's ticket modulo its size is its slot. */
  #offsets = new Float64Array(watermarkSlots);
  #isSettled = new Uint8Array(watermarkSlots);
  /** Ticket of the oldest record that is not settled. */
  #head = 0;
  /** Ticket of the next record. */
  #tail = 0;
  /** Nothing below is going to be delivered. */
  #reached: number;

  /** @param start offset of the first record that will be delivered, at least */
  constructor(start: number) {
    this.#reached = start;
  }

  /** What to commit: the offset of the oldest record that is not settled, or of the next one to come. */
  get position(): number {
    return this.#head === this.#tail ? this.#reached : (this.#offsets[this.#slot(this.#head)] as number);
  }

  /** Offset of the next record to come, at least. */
  get reached(): number {
    return this.#reached;
  }

  /** Records from the oldest that is not settled to the newest, whether settled or not. */
  get span(): number {
    return this.#tail - this.#head;
  }

  /**
   * Takes note of a delivered record.
   * @returns its ticket, with which it is settled
   * @throws RangeError when an offset comes twice or out of order
   */
  deliver(offset: number): number {
    if (!(offset >= this.#reached)) {
      throw new RangeError(`offset ${offset} was delivered, but everything below ${this.#reached} has been already`);
    }
    if (this.span === this.#offsets.length) this.#grow();
    const ticket = this.#tail++;
    const slot = this.#slot(ticket);
    this.#offsets[slot] = offset;
    this.#isSettled[slot] = 0;
    this.#reached = offset + 1;
    return ticket;
  }

  /** Nothing below `offset` is going to come, for example because the log was compacted or cut there. */
  reach(offset: number): void {
    if (offset > this.#reached) this.#reached = offset;
  }

  /** @returns whether it was not settled before */
  settle(ticket: number): boolean {
    if (!(ticket >= this.#head && ticket < this.#tail)) return false;
    const slot = this.#slot(ticket);
    if (this.#isSettled[slot] === 1) return false;
    this.#isSettled[slot] = 1;
    while (this.#head < this.#tail && this.#isSettled[this.#slot(this.#head)] === 1) this.#head++;
    return true;
  }

  /** Tickets exceed 32 bits after some days; their lower bits are all that counts here. */
  #slot(ticket: number): number {
    return ticket & (this.#offsets.length - 1);
  }

  #grow(): void {
    const offsets = new Float64Array(this.#offsets.length * 2);
    const isSettled = new Uint8Array(offsets.length);
    for (let ticket = this.#head; ticket < this.#tail; ticket++) {
      const to = ticket & (offsets.length - 1);
      const from = this.#slot(ticket);
      offsets[to] = this.#offsets[from] as number;
      isSettled[to] = this.#isSettled[from] as number;
    }
    this.#offsets = offsets;
    this.#isSettled = isSettled;
  }
}
