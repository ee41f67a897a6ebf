import { type Clock, outsideContext } from "../../../platform/index.ts";
import type { AnswerTo, LogWriter, Write } from "./writes.ts";

interface Waiting {
  readonly write: Write;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers writes: those of a turn, and those that come while others are being written, become one transaction. */
export class WriteQueue {
  readonly #writer: LogWriter;
  readonly #clock: Clock;
  readonly #whenDone: (error: unknown) => void;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #isScheduled = false;

  /** @param whenDone hears of each transaction how it ended; `undefined` is well */
  constructor(writer: LogWriter, clock: Clock, whenDone: (error: unknown) => void) {
    this.#writer = writer;
    this.#clock = clock;
    this.#whenDone = whenDone;
  }

  /** Whether something is being written, or about to be. */
  get isBusy(): boolean {
    return this.#running !== undefined || this.#waiting.length > 0;
  }

  /** Resolves when it is durable. @throws (rejects) what SQLite says; nothing was written then */
  add<W extends Write>(write: W): Promise<AnswerTo<W>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve: resolve as (answer: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Resolves when everything that was added is written or has failed. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#running !== undefined) {
      if (this.#running === undefined) this.#start();
      await this.#running;
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#running !== undefined) return;
    this.#isScheduled = true;
    this.#clock.endOfTurn(() => {
      this.#isScheduled = false;
      if (this.#running === undefined && this.#waiting.length > 0) this.#start();
    });
  }

  #start(): void {
    const gathered = this.#waiting;
    this.#waiting = [];
    this.#running = outsideContext(() => this.#write(gathered)).finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  async #write(gathered: readonly Waiting[]): Promise<void> {
    let answers: readonly unknown[];
    try {
      answers = await this.#writer.write(
        gathered.map(({ write }) => write),
        this.#clock.wall(),
      );
    } catch (error) {
      if (gathered.length > 1 && isAboutOne(error)) {
        // Not all of them deserve it: each by itself.
        for (const one of gathered) await this.#write([one]);
        return;
      }
      this.#whenDone(error);
      for (const { reject } of gathered) reject(error);
      return;
    }
    this.#whenDone(undefined);
    for (let index = 0; index < gathered.length; index++) gathered[index]?.resolve(answers[index]);
  }
}

/** Primary result codes of SQLite (sqlite.org/rescode.html) that are about the file, and not about one write. */
const aboutTheFile = new Set([5, 6, 8, 10, 11, 13, 14, 26]);

function isAboutOne(error: unknown): boolean {
  const code = (error as { readonly errcode?: unknown } | undefined)?.errcode;
  return typeof code !== "number" || !aboutTheFile.has(code & 0xff);
}
