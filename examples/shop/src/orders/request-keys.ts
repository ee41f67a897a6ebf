import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type IdempotencyStore, sqliteIdempotencyStore } from "trunkline";

/**
 * Where a service remembers the `Idempotency-Key` of requests. A file of its own: it is written for each of them, and
 * whoever writes a SQLite file holds up everybody else who does.
 */
export function openRequestKeys(path: string): { readonly store: IdempotencyStore } & Disposable {
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path);
  // What a transaction wrote outlives the process; only a crash of the machine may take the last ones.
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  return { store: sqliteIdempotencyStore(database), [Symbol.dispose]: () => database.close() };
}
