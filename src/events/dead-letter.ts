import type { EventAttributes } from "./record.ts";

/**
 * Why an event was given up: its attempts are used up (`attempts`), its handler said so (`discarded`), it cannot be decoded
 * or breaks the rules of its contract, no contract knows its type, its time has passed, or the broker refuses for good what its
 * handler has published in its transaction (`refused`).
 */
export type DeadLetterReason =
  | "attempts"
  | "discarded"
  | "undecodable"
  | "invalid"
  | "unknown_type"
  | "expired"
  | "refused";

/** An event that a group has given up, the same on every broker: the original untouched, and why. */
export interface DeadLetter {
  /** Names the letter among those of its group; what commands take. */
  readonly letterId: string;
  readonly group: string;
  readonly topic: string;
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  /** As it came, whatever it is. */
  readonly body: Uint8Array;
  readonly reason: DeadLetterReason;
  /** Of the last failure: name, message and stack. */
  readonly exception: string | undefined;
  readonly attempts: number;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly firstFailedAtMs: number | undefined;
  readonly diedAtMs: number;
  /** Where it had been: `orders/3@1289`. */
  readonly place: string;
  /** Which process gave it up. */
  readonly consumer: string;
  /** Full name of the message type that it was held against. */
  readonly contract: string | undefined;
}

/** Which dead letters; all conditions hold at once. */
export interface DeadLetterFilter {
  readonly group?: string | undefined;
  readonly topic?: string | undefined;
  readonly type?: string | undefined;
  readonly key?: string | undefined;
  readonly reason?: DeadLetterReason | undefined;
  readonly letterIds?: readonly string[] | undefined;
  /** Died at or after; milliseconds since 1970-01-01 UTC. */
  readonly sinceMs?: number | undefined;
  /** At most so many. @default all */
  readonly limit?: number | undefined;
}

/** What can be corrected before a replay: the metadata, never the body. */
export interface DeadLetterEdit {
  readonly type?: string | undefined;
  readonly key?: string | undefined;
  /** Set, or removed where the value is `undefined`. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
}

/** The dead letters of a broker. Those of a group are listed in the order in which they died. */
export interface DeadLetterStore {
  list(filter: DeadLetterFilter): AsyncIterable<DeadLetter>;
  /**
   * Gives a letter back to the group that had given it up, and to no other, with fresh attempts; the letter is gone when the
   * broker has the record. A crash in between leaves both.
   */
  replay(letter: DeadLetter): Promise<void>;
  discard(letter: DeadLetter): Promise<void>;
  edit(letter: DeadLetter, change: DeadLetterEdit): Promise<DeadLetter>;
}
