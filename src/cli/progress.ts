import type { Terminal } from "./command.ts";

/** How often the line is written anew, in milliseconds: as often as somebody can read it. */
const everyMs = 200;

/** A line that is written over and over while long work goes on; nothing where nobody watches. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #what: string;
  #count = 0;
  #nextMs: number;
  #isShown = false;

  /** @param what follows the number: `replayed` */
  constructor(what: string, terminal: Terminal) {
    this.#what = what;
    this.#terminal = terminal;
    this.#nextMs = terminal.platform.clock.now() + everyMs;
  }

  add(): void {
    this.#count++;
    if (!this.#terminal.isWatched) return;
    const nowMs = this.#terminal.platform.clock.now();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + everyMs;
    this.#isShown = true;
    this.#terminal.error(`\r\x1b[K${this.#count} ${this.#what}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isShown) this.#terminal.error("\r\x1b[K");
    this.#isShown = false;
  }
}
