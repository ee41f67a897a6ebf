import type { Balance, HeldLane } from "../../log/index.ts";

/**
 * What is written, as plain data: the thread that writes gets it as it is. All writes that come together are one transaction,
 * so that they wait for the disk once.
 */
export type Write =
  | AppendWrite
  | { readonly kind: "topics"; readonly topics: readonly string[]; readonly partitions: number }
  | { readonly kind: "removeTopic"; readonly topic: string }
  | JoinWrite
  | BalanceWrite
  | { readonly kind: "leave"; readonly group: string; readonly member: string }
  | CommitWrite
  | HoldWrite
  | ParkWrite
  | BuryWrite
  | { readonly kind: "replay"; readonly letterId: string; readonly partitionOfKey: number | undefined }
  | { readonly kind: "discard"; readonly letterId: string }
  | { readonly kind: "edit"; readonly letterId: string; readonly record: Uint8Array }
  | { readonly kind: "due"; readonly rows: number }
  | TrimWrite;

export interface AppendWrite {
  readonly kind: "append";
  readonly batches: readonly PartitionBatch[];
  readonly scheduled: readonly (PartitionBatch & { readonly dueMs: number })[];
  /** Refused when the log has more bytes. */
  readonly logBytesMax: number;
}

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  readonly batch: Uint8Array;
}

export interface JoinWrite {
  readonly kind: "join";
  readonly group: string;
  readonly member: string;
  readonly topics: readonly string[];
  readonly from: "beginning" | "now";
  readonly leaseMs: number;
}

export interface BalanceWrite {
  readonly kind: "balance";
  readonly group: string;
  readonly member: string;
  readonly topics: readonly string[];
  readonly held: readonly HeldLane[];
  readonly accepts: boolean;
  readonly leaseMs: number;
}

export interface CommitWrite {
  readonly kind: "commit";
  readonly group: string;
  readonly member: string;
  readonly lanes: readonly CommitLane[];
  readonly releases: boolean;
}

export interface CommitLane extends HeldLane {
  readonly offset: number;
  readonly metadata: string;
  readonly settledIds: readonly number[];
  readonly begun: readonly (readonly [id: number, attempts: number])[];
  readonly waiting: readonly (readonly [id: number, dueMs: number, attempts: number, firstFailedAtMs: number | null])[];
}

export interface HoldWrite {
  readonly kind: "hold";
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly storedAtMs: number | null;
  readonly dueMs: number;
  readonly attempts: number;
  readonly firstFailedAtMs: number | null;
  readonly record: Uint8Array;
}

export interface ParkWrite {
  readonly kind: "park";
  readonly group: string;
  readonly member: string;
  readonly lane: HeldLane;
  readonly rows: readonly ParkRow[];
}

export interface ParkRow extends Omit<HoldWrite, "kind" | "group" | "topic"> {
  readonly key: string;
  readonly position: number | null;
}

export interface BuryWrite {
  readonly kind: "bury";
  readonly letterId: string;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** JSON of what is neither in the record nor in a column. */
  readonly details: string;
  readonly record: Uint8Array;
}

export interface TrimWrite {
  readonly kind: "trim";
  readonly olderThanMs: number;
  readonly bytesMax: number;
  /** Groups that nobody was a member of since then hold nothing back. */
  readonly groupsSeenSinceMs: number;
  readonly rows: number;
}

/** What became of a write, by its kind. */
export interface WriteAnswers {
  readonly append: AppendAnswer;
  readonly topics: undefined;
  readonly removeTopic: undefined;
  readonly join: undefined;
  readonly balance: Balance;
  readonly leave: undefined;
  readonly commit: readonly boolean[];
  readonly hold: undefined;
  readonly park: readonly number[] | undefined;
  readonly bury: undefined;
  readonly replay: ReplayAnswer | undefined;
  readonly discard: boolean;
  readonly edit: boolean;
  readonly due: DueAnswer;
  readonly trim: { readonly rows: number };
}

export interface AppendAnswer {
  /** Partitions that have more records. */
  readonly appended: readonly { readonly topic: string; readonly partition: number; readonly nextOffset: number }[];
  /** Why nothing was appended. */
  readonly refused: string | undefined;
}

export interface ReplayAnswer {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
}

export interface DueAnswer {
  readonly appended: AppendAnswer["appended"];
  readonly hasMore: boolean;
}

export type WriteKind = Write["kind"];
export type AnswerTo<W extends Write> = WriteAnswers[W["kind"]];

/** Makes writes durable, all or none. */
export interface LogWriter {
  /** @throws (rejects) what SQLite says, with its `errcode` */
  write(writes: readonly Write[], nowMs: number): Promise<readonly unknown[]>;
  close(): Promise<void>;
}
