import type { Priority } from "../../contract/index.ts";
import { type Clock, outsideContext, type Random, type Timer } from "../../platform/index.ts";
import { priorityRank } from "./call-priority.ts";
import { loopLooksMin, loopPressureDown, loopPressureMax, loopPressureUp, loopSampleMs } from "./limits.ts";

/**
 * How much work must be turned away so that the event loop keeps up. The other signal, the number of calls at once, cannot
 * see a process that computes: there the queue is in the sockets, and hardly a call runs at any time.
 *
 * A timer says how late the loop is, and where a turn takes long its calls do. One late look means nothing: a garbage collection, a big answer, a laptop that was
 * closed. Looks that are late one after the other mean that more comes than can be done. From then on the pressure rises
 * with every late look, by how late it is, and falls with every timely one: an integral controller, which settles where
 * the loop is about as late as is tolerated. From 0 to 1 the pressure is the share of sheddable calls that are turned
 * away, from 1 to 2 that of ordinary ones, from 2 that of critical ones.
 *
 * The timer runs while calls come, and for as long as there is pressure; an idle server has none.
 */
export class LoopPressure {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #delayMsMax: number;
  readonly #onLate: (delayMs: number) => void;
  #timer: Timer | undefined;
  #armedAtMs = 0;
  #hasCalls = false;
  #lateLooks = 0;
  #pressure = 0;

  /** @param onLate told of every late look that is not the first ones in a row */
  constructor(clock: Clock, random: Random, delayMsMax: number, onLate: (delayMs: number) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#delayMsMax = delayMsMax;
    this.#onLate = onLate;
  }

  /** From 0, nothing is turned away, to 2.9. */
  get pressure(): number {
    return this.#pressure;
  }

  /** A call has come: the loop is watched. */
  callCame(nowMs: number): void {
    this.#hasCalls = true;
    if (this.#timer === undefined) {
      this.#arm(nowMs);
      return;
    }
    // One turn may work through all that queued up in the sockets; its end is too late to learn of that.
    const delayMs = nowMs - this.#armedAtMs - loopSampleMs;
    if (delayMs < this.#delayMsMax) return;
    this.#timer.cancel();
    this.#wasLate(delayMs);
    this.#arm(nowMs);
  }

  /** Whether a call of this priority is to be turned away. */
  sheds(priority: Priority): boolean {
    const share = this.#pressure - priorityRank[priority];
    return share > 0 && this.#random.next() < share;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pressure = 0;
    this.#lateLooks = 0;
  }

  #arm(nowMs: number): void {
    this.#armedAtMs = nowMs;
    // The timer serves every call, so it belongs to none.
    this.#timer = outsideContext(() => this.#clock.after(loopSampleMs, this.#look));
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const nowMs = this.#clock.now();
    const delayMs = nowMs - this.#armedAtMs - loopSampleMs;
    if (delayMs >= this.#delayMsMax) this.#wasLate(delayMs);
    else {
      this.#lateLooks = 0;
      if (delayMs < this.#delayMsMax / 2) this.#pressure = Math.max(0, this.#pressure - loopPressureDown);
    }
    if (!this.#hasCalls && this.#pressure === 0) return;
    this.#hasCalls = false;
    this.#arm(nowMs);
  };

  #wasLate(delayMs: number): void {
    if (++this.#lateLooks < loopLooksMin && this.#pressure === 0) return;
    const rise = loopPressureUp * Math.min(delayMs / this.#delayMsMax, 3);
    this.#pressure = Math.min(this.#pressure + rise, loopPressureMax);
    this.#onLate(delayMs);
  }
}
