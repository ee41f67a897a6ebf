import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BrokerError } from "../../errors.ts";
import { makeTables } from "./schema.ts";

/** A connection that writes. Makes the folder, the file and the tables where they are missing. */
export function openForWriting(file: string, durability: "full" | "normal"): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  const database = new DatabaseSync(file);
  try {
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
    if (mode !== "wal") {
      throw new BrokerError(
        `sqlite: ${file} cannot have a write-ahead log (its journal is ${mode}): it must be on a local disk, not a network file system`,
      );
    }
    // The log is written to the disk with each commit, or when it is moved into the file.
    database.exec(`PRAGMA synchronous = ${durability}`);
    makeTables(database, file);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A connection that only reads, to a file that has its tables. */
export function openForReading(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  database.exec("PRAGMA query_only = 1");
  return database;
}
