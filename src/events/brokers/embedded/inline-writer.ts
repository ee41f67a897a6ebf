import type { DatabaseSync } from "node:sqlite";
import { type Platform, whenFree } from "../../../platform/index.ts";
import { busyMs } from "./limits.ts";
import { WriteTransaction } from "./write-transaction.ts";
import type { LogWriter, Write } from "./writes.ts";

/** Writes on the thread of the program, which waits for the disk with each transaction. */
export class InlineWriter implements LogWriter {
  readonly #database: DatabaseSync;
  readonly #platform: Platform;
  readonly #transaction: WriteTransaction;

  /** @param database a connection of its own */
  constructor(database: DatabaseSync, platform: Platform) {
    this.#database = database;
    this.#platform = platform;
    this.#transaction = new WriteTransaction(database);
  }

  write(writes: readonly Write[], nowMs: number): Promise<readonly unknown[]> {
    return whenFree(this.#platform, busyMs, () => this.#transaction.run(writes, nowMs));
  }

  async close(): Promise<void> {
    this.#database.close();
  }
}
