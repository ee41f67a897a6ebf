import { type FileWatch, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import { ownWriteMs, pollMsMax, pollMsMin, pollMsWatched } from "./limits.ts";

/** What a look has found: nothing, a change that says nothing new (our own), or news. */
export type Found = "nothing" | "own" | "news";

/**
 * When to look for what other processes have written. While there is news, every few milliseconds; then less and less
 * often. After a while without any, the file system is asked to tell of the next write, and looks are rare: each wakes the
 * processor, which costs more than the look. Where it cannot tell, looks go on as before.
 */
export class ChangeWatch {
  readonly #platform: Platform;
  readonly #file: string;
  readonly #look: () => Found;
  readonly #isWriting: () => boolean;
  #isOn = false;
  #pauseMs = pollMsMin;
  #timer: Timer | undefined;
  #dueMs = 0;
  #watch: FileWatch | undefined;
  #ownWriteMs = Number.NEGATIVE_INFINITY;

  /**
   * @param file the write-ahead log: every transaction is written there
   * @param isWriting whether this process writes at the moment: the file system tells of that, too
   */
  constructor(platform: Platform, file: string, look: () => Found, isWriting: () => boolean) {
    this.#platform = platform;
    this.#file = file;
    this.#look = look;
    this.#isWriting = isWriting;
  }

  /** The first look is at once. */
  start(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#pauseMs = pollMsMin;
    outsideContext(() => this.#lookNow());
  }

  stop(): void {
    this.#isOn = false;
    this.#timer?.cancel();
    this.#unwatch();
  }

  /** This process has written just now. */
  wroteItself(): void {
    this.#ownWriteMs = this.#platform.clock.now();
  }

  #lookNow(): void {
    const found = this.#look();
    if (!this.#isOn) return;
    if (found === "news") {
      this.#pauseMs = pollMsMin;
      this.#unwatch();
    } else this.#pauseMs = Math.min(this.#pauseMs * 2, pollMsMax);
    if (this.#watch !== undefined) this.#lookAfter(pollMsWatched);
    else {
      if (this.#pauseMs === pollMsMax) this.#watch = this.#platform.watchFile?.(this.#file, () => this.#noticed());
      // Once more soon: something may have been written before the watch began.
      this.#lookAfter(this.#pauseMs);
    }
  }

  /** The file system tells of a write, which is not yet to be seen: SQLite syncs it first. */
  #noticed(): void {
    const { clock } = this.#platform;
    if (!this.#isOn || this.#watch === undefined) return;
    if (this.#isWriting() || clock.now() - this.#ownWriteMs < ownWriteMs) {
      // It may have been another process's all the same.
      if (this.#dueMs > clock.now() + pollMsMax) this.#lookAfter(pollMsMax);
      return;
    }
    this.#unwatch();
    this.#pauseMs = pollMsMin / 2;
    this.#lookAfter(pollMsMin / 2);
  }

  #lookAfter(pauseMs: number): void {
    const { clock } = this.#platform;
    this.#timer?.cancel();
    this.#dueMs = clock.now() + pauseMs;
    // Whoever subscribes waits for what others publish, as with a socket: that keeps the process alive.
    this.#timer = outsideContext(() => clock.after(pauseMs, () => this.#lookNow(), true));
  }

  #unwatch(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }
}
