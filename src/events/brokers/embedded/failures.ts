import { BrokerError, PublishError } from "../../errors.ts";

/** Primary result codes of SQLite (sqlite.org/rescode.html), what they mean here and what to do. */
const meanings: Readonly<Record<number, { readonly text: string; readonly isRetryable: boolean }>> = {
  5: { text: "another process has held it locked for 5 seconds; see who has it open", isRetryable: true },
  6: { text: "another connection has held it locked for 5 seconds", isRetryable: true },
  8: { text: "it cannot be written to: check the permissions of the file and its folder", isRetryable: false },
  10: { text: "the disk reports an error; check it", isRetryable: true },
  11: {
    text: "it is damaged: stop all processes, move it away (with its -wal and -shm), and restore it from a backup",
    isRetryable: false,
  },
  13: { text: "the disk, or the quota, is full: make room; it goes on by itself then", isRetryable: true },
  14: {
    text: "it cannot be opened: check that the path is a file, and the permissions of its folder",
    isRetryable: false,
  },
  26: { text: "it is not a SQLite database: choose another path, or move it away", isRetryable: false },
};

/** Whether the same may succeed a little later, and the meaning of an error of SQLite for people. */
export function explain(file: string, error: unknown): { readonly message: string; readonly isRetryable: boolean } {
  if (error instanceof BrokerError) return { message: error.message, isRetryable: false };
  const code = (error as { readonly errcode?: unknown } | undefined)?.errcode;
  const meaning = typeof code === "number" ? meanings[code & 0xff] : undefined;
  if (meaning !== undefined) return { message: `sqlite: ${file}: ${meaning.text}`, isRetryable: meaning.isRetryable };
  const text = error instanceof Error ? error.message : String(error);
  return { message: `sqlite: ${file}: ${text}`, isRetryable: false };
}

export function brokerError(file: string, cause: unknown): BrokerError {
  return cause instanceof BrokerError ? cause : new BrokerError(explain(file, cause).message, { cause });
}

export function publishError(file: string, cause: unknown): PublishError {
  const { message, isRetryable } = explain(file, cause);
  return new PublishError(message, isRetryable, { cause });
}
