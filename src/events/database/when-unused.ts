import type { DatabaseSync } from "node:sqlite";
import { type Platform, whenFree } from "../../platform/index.ts";

/**
 * Runs `work` when neither another connection nor an open transaction on this one is in the way: one that the user has begun
 * may stay open over turns of the event loop, and what it wrote is not to be seen, nor to be committed by others.
 * @throws what `work` throws; after `busyMs`, what was in the way
 */
export function whenUnused<T>(database: DatabaseSync, platform: Platform, busyMs: number, work: () => T): Promise<T> {
  return whenFree(platform, busyMs, () => {
    if (database.isTransaction) throw new OpenTransaction();
    return work();
  });
}

class OpenTransaction extends Error {
  /** As if another connection had it: SQLITE_BUSY. */
  readonly errcode = 5;

  constructor() {
    super(
      "a transaction is open on this SQLite connection and was not committed; commit it, or use another connection",
    );
  }
}
