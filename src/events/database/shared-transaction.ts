import type { DatabaseSync } from "node:sqlite";
import { type Platform, sqliteTransaction } from "../../platform/index.ts";
import { collectAfterCommit, refusePromise } from "./transaction.ts";
import { whenUnused } from "./when-unused.ts";

export interface SharedTransactionOptions {
  /** How long it tries again while another connection writes. */
  readonly busyMs: number;
  /** Pieces of work in one transaction. */
  readonly workMax: number;
}

interface Pending {
  readonly work: () => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly result: unknown } | { readonly error: unknown };

/**
 * Group commit on SQLite: pieces of synchronous work that ask for a transaction in the same turn of the event loop share
 * one, each in a savepoint of its own, so that making it durable is paid for once. A piece that throws is undone alone.
 */
export class SharedTransaction {
  readonly #database: DatabaseSync;
  readonly #platform: Platform;
  readonly #options: SharedTransactionOptions;
  #pending: Pending[] = [];
  #isScheduled = false;

  constructor(database: DatabaseSync, platform: Platform, options: SharedTransactionOptions) {
    this.#database = database;
    this.#platform = platform;
    this.#options = options;
  }

  /** Resolves with what `work` returned when that is durable. */
  run(work: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ work, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#platform.clock.endOfTurn(() => void this.#commit());
  }

  async #commit(): Promise<void> {
    const group = this.#pending.splice(0, this.#options.workMax);
    try {
      const { result: outcomes, committed } = await whenUnused(
        this.#database,
        this.#platform,
        this.#options.busyMs,
        () =>
          collectAfterCommit(this.#database, () =>
            sqliteTransaction(this.#database, () => group.map(({ work }) => this.#attempt(work))),
          ),
      );
      for (const run of committed) run();
      for (const [index, outcome] of outcomes.entries()) {
        if ("error" in outcome) group[index]?.reject(outcome.error);
        else group[index]?.resolve(outcome.result);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    this.#isScheduled = false;
    if (this.#pending.length > 0) this.#schedule();
  }

  #attempt(work: () => unknown): Outcome {
    const database = this.#database;
    database.exec("SAVEPOINT trunkline_work");
    try {
      const result = refusePromise(work());
      database.exec("RELEASE trunkline_work");
      return { result };
    } catch (error) {
      // A full disk may have ended the whole transaction: then nothing of the group is kept.
      if (!database.isTransaction) throw error;
      database.exec("ROLLBACK TO trunkline_work; RELEASE trunkline_work");
      return { error };
    }
  }
}
