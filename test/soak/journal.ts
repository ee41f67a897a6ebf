import { closeSync, openSync, readSync, writeSync } from "node:fs";
import type { HistoryEntry } from "../../src/exports/broker-conformance.ts";

/**
 * A file of history entries, a line each, that processes append to which may be killed at any instant. A write with O_APPEND goes to
 * the end as a whole, so the lines of several processes have one sequence, which is that of their writes.
 */
export class JournalWriter {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
    // One that was killed in the middle of a line has left half of one.
    writeSync(this.#file, "\n");
  }

  /** Is in the file (not yet on the disk: processes are killed here, not machines) when it returns. */
  write(entry: HistoryEntry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

const chunkBytes = 65_536;

/** Reads what has been appended since it read last. */
export class JournalReader {
  readonly #file: number;
  readonly #chunk = Buffer.alloc(chunkBytes);
  #position = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#file = openSync(path, "a+");
  }

  *entries(): Generator<HistoryEntry> {
    for (;;) {
      const count = readSync(this.#file, this.#chunk, 0, chunkBytes, this.#position);
      if (count === 0) return;
      this.#position += count;
      const bytes = Buffer.concat([this.#rest, this.#chunk.subarray(0, count)]);
      const end = bytes.lastIndexOf(0x0a) + 1;
      this.#rest = bytes.subarray(end);
      for (const line of bytes.toString("utf8", 0, end).split("\n")) {
        if (line === "") continue;
        const entry = entryOf(line);
        if (entry !== undefined) yield entry;
      }
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** `undefined` for half a line, which a killed process has left. */
function entryOf(line: string): HistoryEntry | undefined {
  try {
    return JSON.parse(line) as HistoryEntry;
  } catch {
    return undefined;
  }
}
