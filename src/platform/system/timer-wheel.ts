import { wheelHorizonTicks } from "../limits.ts";

/**
 * A hierarchical timer wheel: arming and cancelling take constant time whatever the number of timers, and finding the
 * next occupied slot takes one look at a bit set per level.
 *
 * After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 7. Ticks are 32-bit integers that
 * wrap. An entry stands on the level of the highest 5-bit digit in which its due tick differs from the present one, in
 * the slot of that digit. So all entries of one tick are always in one slot, in the order in which they were armed, and
 * the earliest slot is the first occupied one of the lowest occupied level.
 *
 * The wheel has no clock: its owner says what time it is.
 */

const digitBits = 5;
const slotsPerLevel = 1 << digitBits;
const digitMask = slotsPerLevel - 1;
const levelCount = 7;

/** One timer. Linked into a slot of the wheel, or into the list of those that are due; alone otherwise. */
export class WheelEntry {
  next: WheelEntry = this;
  previous: WheelEntry = this;
  /** Tick at which it fires, modulo 2³². */
  due = 0;
  /** Ticks that did not fit into the horizon. */
  remaining = 0;
  /** Index of the slot it stands in, −1 otherwise. */
  slot = -1;
}

function link(list: WheelEntry, entry: WheelEntry): void {
  const last = list.previous;
  entry.previous = last;
  entry.next = list;
  last.next = entry;
  list.previous = entry;
}

function unlink(entry: WheelEntry): void {
  entry.previous.next = entry.next;
  entry.next.previous = entry.previous;
  entry.next = entry;
  entry.previous = entry;
}

/** Index of the lowest bit set; `bits` is not 0. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

export class TimerWheel<Entry extends WheelEntry> {
  readonly #slots: WheelEntry[] = Array.from({ length: levelCount * slotsPerLevel }, () => new WheelEntry());
  readonly #occupied = new Int32Array(levelCount);
  /** Entries whose tick has come and that have not been fired yet. */
  readonly #due = new WheelEntry();
  readonly #fire: (entry: Entry) => void;
  /** The last tick that was reached, modulo 2³². All entries in slots are due after it. */
  #tick: number;

  constructor(tick: number, fire: (entry: Entry) => void) {
    this.#tick = tick | 0;
    this.#fire = fire;
  }

  /** The last tick reached, modulo 2³². */
  get tick(): number {
    return this.#tick >>> 0;
  }

  /** Places an entry that fires when `delayTicks` (≥ 1) have passed since the last tick reached. */
  arm(entry: Entry, delayTicks: number): void {
    let ticks = delayTicks;
    if (ticks > wheelHorizonTicks) {
      entry.remaining = ticks - wheelHorizonTicks;
      ticks = wheelHorizonTicks;
    } else entry.remaining = 0;
    entry.due = (this.#tick + ticks) | 0;
    this.#place(entry);
  }

  /** Takes an entry out; `false` when it had fired or was not armed. */
  cancel(entry: Entry): boolean {
    if (entry.next === entry) return false;
    const slot = entry.slot;
    unlink(entry);
    if (slot >= 0) {
      entry.slot = -1;
      const list = this.#slots[slot]!;
      if (list.next === list) this.#vacate(slot);
    }
    return true;
  }

  /** Ticks from the last one reached until something has to be done, or −1 when the wheel is empty. May be early. */
  ticksUntilNext(): number {
    if (this.#due.next !== this.#due) return 0;
    const next = this.#nextOccupiedTick();
    return next === undefined ? -1 : (next - this.#tick) >>> 0;
  }

  /** Goes forward and fires what is due, in order of time, then of arming. What a callback throws is thrown on, and the
   * rest stays due for the next call. */
  advance(ticks: number): void {
    const target = (this.#tick + ticks) | 0;
    this.#fireDue();
    for (;;) {
      const next = this.#nextOccupiedTick();
      if (next === undefined || (next - this.#tick) >>> 0 > (target - this.#tick) >>> 0) break;
      this.#reach(next);
      this.#fireDue();
    }
    this.#tick = target;
  }

  #fireDue(): void {
    for (;;) {
      const entry = this.#due.next as Entry;
      if (entry === this.#due) return;
      unlink(entry);
      if (entry.remaining > 0) this.arm(entry, entry.remaining);
      else this.#fire(entry);
    }
  }

  /** The start of the first occupied slot. Only the highest level can wrap, and it holds one occupied slot at most. */
  #nextOccupiedTick(): number | undefined {
    for (let level = 0; level < levelCount; level++) {
      const bits = this.#occupied[level]!;
      if (bits === 0) continue;
      const shift = level * digitBits;
      // Shifts count modulo 32, so the digits above the highest level are cleared by hand.
      const above = level === levelCount - 1 ? 0 : (this.#tick >> (shift + digitBits)) << (shift + digitBits);
      const upper = shift + digitBits >= 32 ? 0 : above;
      return upper | (lowestBit(bits) << shift) | 0;
    }
    return undefined;
  }

  /** Moves to the start of an occupied slot: its entries are due, or go to lower levels. */
  #reach(tick: number): void {
    const difference = tick ^ this.#tick;
    const level = levelOf(difference);
    this.#tick = tick;
    const slot = level * slotsPerLevel + ((tick >>> (level * digitBits)) & digitMask);
    const list = this.#slots[slot]!;
    this.#vacate(slot);
    while (list.next !== list) {
      const entry = list.next as Entry;
      unlink(entry);
      entry.slot = -1;
      if (entry.due === tick) link(this.#due, entry);
      else this.#place(entry);
    }
  }

  #place(entry: Entry): void {
    const level = levelOf(entry.due ^ this.#tick);
    const digit = (entry.due >>> (level * digitBits)) & digitMask;
    const slot = level * slotsPerLevel + digit;
    entry.slot = slot;
    this.#occupied[level]! |= 1 << digit;
    link(this.#slots[slot]!, entry);
  }

  #vacate(slot: number): void {
    this.#occupied[slot >>> digitBits]! &= ~(1 << (slot & digitMask));
  }
}

/** The level of the highest differing digit. */
function levelOf(difference: number): number {
  return difference === 0 ? 0 : ((31 - Math.clz32(difference)) / digitBits) | 0;
}
