import type { Clock, Timer } from "../clock.ts";
import { type Context, captureContext, outsideContext, restoreContext } from "../context.ts";
import { TimerWheel, WheelEntry } from "./timer-wheel.ts";

/** The longest delay that Node's timers take. */
const nodeTimerMsMax = 2 ** 31 - 1;

class SystemTimer extends WheelEntry implements Timer {
  readonly #wheel: TimerWheel<SystemTimer>;
  readonly #run: () => void;
  readonly #context: Context | undefined;
  /** Called once when the timer is over, for one that keeps the process alive. */
  #release: (() => void) | undefined;

  constructor(wheel: TimerWheel<SystemTimer>, run: () => void, release?: () => void) {
    super();
    this.#wheel = wheel;
    this.#run = run;
    this.#context = captureContext();
    this.#release = release;
  }

  cancel(): void {
    this.#wheel.cancel(this);
    this.#letGo();
  }

  fire(): void {
    this.#letGo();
    if (this.#context === undefined) this.#run();
    else restoreContext(this.#context, this.#run);
  }

  #letGo(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

const never: Timer = { cancel() {} };

/**
 * The machine's time, with all timers of the process on one wheel behind one Node timer. The Node timer stands for the
 * earliest slot; cancelling a timer leaves it alone, so that a deadline that is met costs no call into Node at all.
 */
class SystemClock implements Clock {
  readonly #origin = performance.now();
  readonly #wheel = new TimerWheel<SystemTimer>(0, timer => timer.fire());
  /** Whole milliseconds since the origin at the wheel's last tick. */
  #reachedMs = 0;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #nodeTimer: NodeJS.Timeout | undefined;
  /** Armed timers that keep the process alive. */
  #holding = 0;
  readonly #release = () => {
    if (--this.#holding === 0) this.#nodeTimer?.unref();
  };
  readonly #wake = () => this.#onWake();

  #turnQueue: (() => void)[] = [];
  readonly #runTurn = () => this.#endTurn();

  now(): number {
    return performance.now();
  }

  wall(): number {
    return Date.now();
  }

  after(delayMs: number, run: () => void, keepsAlive = false): Timer {
    if (Number.isNaN(delayMs)) throw new RangeError("a timer's delay must be a number of milliseconds, got NaN");
    if (delayMs === Number.POSITIVE_INFINITY) return never;
    const dueMs = Math.ceil(performance.now() - this.#origin + Math.max(delayMs, 0));
    const timer = new SystemTimer(this.#wheel, run, keepsAlive ? this.#release : undefined);
    this.#wheel.arm(timer, Math.max(dueMs - this.#reachedMs, 1));
    if (dueMs < this.#wakeAtMs) this.#sleep();
    if (keepsAlive && ++this.#holding === 1) this.#nodeTimer?.ref();
    return timer;
  }

  endOfTurn(run: () => void): void {
    if (this.#turnQueue.push(run) === 1) outsideContext(() => setImmediate(this.#runTurn));
  }

  #endTurn(): void {
    const queue = this.#turnQueue;
    this.#turnQueue = [];
    let index = 0;
    try {
      while (index < queue.length) queue[index++]?.();
    } finally {
      // One that throws becomes the process's uncaught exception; the others still get their turn.
      for (; index < queue.length; index++) this.endOfTurn(queue[index] as () => void);
    }
  }

  #onWake(): void {
    this.#nodeTimer = undefined;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    const nowMs = Math.floor(performance.now() - this.#origin);
    const ticks = nowMs - this.#reachedMs;
    // Timers that are armed while others fire are placed from the tick that the wheel has reached.
    const wheel = this.#wheel;
    try {
      while (this.#reachedMs < nowMs) {
        const next = wheel.ticksUntilNext();
        const step = next < 0 ? nowMs - this.#reachedMs : Math.min(Math.max(next, 1), nowMs - this.#reachedMs);
        this.#reachedMs += step;
        wheel.advance(step);
      }
      if (ticks <= 0) wheel.advance(0);
    } finally {
      this.#sleep();
    }
  }

  /** Sets the Node timer to the earliest slot of the wheel. */
  #sleep(): void {
    const ticks = this.#wheel.ticksUntilNext();
    if (ticks < 0) return;
    const wakeAtMs = this.#reachedMs + ticks;
    if (wakeAtMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = wakeAtMs;
    if (this.#nodeTimer !== undefined) clearTimeout(this.#nodeTimer);
    const delayMs = Math.ceil(wakeAtMs - (performance.now() - this.#origin));
    this.#nodeTimer = outsideContext(() => setTimeout(this.#wake, Math.min(Math.max(delayMs, 1), nodeTimerMsMax)));
    if (this.#holding === 0) this.#nodeTimer.unref();
  }
}

/** The machine's clock. One per process, because its wheel is. */
export const systemClock: Clock = new SystemClock();
