import type { DatabaseSync } from "node:sqlite";
import { sqlitePauseMs } from "./limits.ts";
import type { Platform } from "./platform.ts";

/** Primary result codes of SQLite (sqlite.org/rescode.html). */
const busy = 5;
const locked = 6;

/** Whether another connection is in the way, so that the same may succeed a little later. */
export function isBusy(error: unknown): boolean {
  const code = (error as { readonly errcode?: unknown } | undefined)?.errcode;
  if (typeof code !== "number") return false;
  const primary = code & 0xff;
  return primary === busy || primary === locked;
}

/**
 * Runs `work` until no other connection is in the way. The pauses are timers with jitter: SQLite's own waiting would hold up
 * everything else that the process does.
 * @throws what `work` throws; after `busyMs`, also that another connection is in the way
 */
export async function whenFree<T>({ clock, random }: Platform, busyMs: number, work: () => T): Promise<T> {
  const until = clock.now() + busyMs;
  for (let pauseMs = sqlitePauseMs / 32; ; pauseMs = Math.min(pauseMs * 2, sqlitePauseMs)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || clock.now() >= until) throw error;
    }
    const jittered = pauseMs * (0.5 + random.next() / 2);
    await new Promise<void>(resolve => {
      clock.after(jittered, resolve, true);
    });
  }
}

/** Runs `work` as one transaction that holds the write lock from its beginning. */
export function sqliteTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // A full disk may have ended the transaction already.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
