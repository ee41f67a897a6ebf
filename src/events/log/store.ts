import type { Clock } from "../../platform/index.ts";
import type { DeadLetterStore } from "../dead-letter.ts";
import type { DeathDetails, GroupStatus, PublishFailure } from "../driver.ts";
import type { AttemptHistory, EventRecord } from "../record.ts";
import type { LaneCommit } from "./lane.ts";
import type { LogRecord } from "./log-record.ts";
import type { ParkedRow, RowToPark } from "./parking.ts";

/**
 * Where a log lives that is not a server: in memory, in a file. `LogDriver` makes a broker of it. What changes something
 * resolves when it is durable, and says what became of it; reading is immediate.
 */
export interface LogStore {
  /** Appends to partitions by key; what is not due yet is kept aside until it is. */
  append(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]>;
  /** Makes the topics that are missing. @throws BrokerError where that is not allowed */
  createTopics(topics: readonly string[]): Promise<void>;

  /** Makes a topic of one partition for the replies to one connection, whatever is said of making topics. */
  openReplies(topic: string): Promise<void>;
  /** Removes it, and all that is in it. */
  closeReplies(topic: string): Promise<void>;
  /** Appends to such a topic; never makes it. @returns why it is not there */
  appendReply(reply: EventRecord): Promise<PublishFailure | undefined>;

  /** Adds a member to a group; a group that is new begins where `from` says. @throws BrokerError for a missing topic */
  join(member: StoreMember, from: "beginning" | "now"): Promise<void>;
  /** Shows that the member is alive, and tells it which lanes it has. */
  balance(member: StoreMember, held: readonly HeldLane[], accepts: boolean): Promise<Balance>;
  leave(member: StoreMember): Promise<void>;

  /** @throws Error when it cannot be read at the moment */
  read(request: ReadRequest): ReadAnswer;
  /** The partitions of a topic; none where it does not exist. */
  partitions(topic: string): readonly PartitionBounds[];
  /** Records of a group that wait beside the log for another attempt and are due. */
  readReturned(request: ReturnedRequest): ReturnedAnswer;

  /**
   * Makes commits durable. `releases`: the member gives the lanes away.
   * @returns for each whether it counts; `false` when the lane has another epoch by now
   */
  commit(member: StoreMember, commits: readonly LaneCommit[], releases: boolean): Promise<readonly boolean[]>;
  /** Keeps a record beside the log of its partition until it is due. */
  hold(group: string, record: LogRecord, dueMs: number, history: AttemptHistory): Promise<void>;
  /** What a group has parked of a partition, in the order in which it was parked. */
  parked(group: string, lane: HeldLane): readonly ParkedRow[];
  /** Those that are there, in the order of `ids`. */
  readParked(group: string, lane: HeldLane, ids: readonly number[]): readonly LogRecord[];
  /**
   * Parks records, in this order, all or none.
   * @returns their numbers, ascending; `undefined` when the lane has another epoch by now
   */
  park(member: StoreMember, lane: HeldLane, rows: readonly RowToPark[]): Promise<readonly number[] | undefined>;
  bury(group: string, record: LogRecord, details: DeathDetails): Promise<void>;
  readonly deadLetters: DeadLetterStore;
  groups(): Promise<readonly GroupStatus[]>;

  /** Tells of changes, whoever made them. */
  watch(watcher: StoreWatcher): () => void;
  status(): { readonly isReady: boolean; readonly detail: string };
  close(): Promise<void>;
}

export interface StoreWatcher {
  /** A partition may have more records. */
  appended(topic: string, partition: number): void;
  /** Members or lanes of a group have changed. */
  regrouped(group: string): void;
  /** Records of a group have begun to wait beside the log; nobody knows in which partition where it is not said. */
  held(group: string, topic: string | undefined, partition: number | undefined): void;
}

export interface StoreMember {
  readonly group: string;
  readonly member: string;
  readonly topics: readonly string[];
}

export interface HeldLane {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
}

export interface GrantedLane extends HeldLane {
  /** What the group has committed there. */
  readonly offset: number;
  readonly metadata: string;
}

export interface Balance {
  readonly granted: readonly GrantedLane[];
  /** Held ones that another member should have: to be given away when their handlers have ended. */
  readonly surplus: readonly HeldLane[];
  /** Held ones that somebody else has already. */
  readonly lost: readonly HeldLane[];
}

export interface ReadRequest {
  readonly topic: string;
  readonly partition: number;
  /** The first that is wanted. */
  readonly offset: number;
  /** The first that is not wanted. */
  readonly limit: number;
  readonly recordsMax: number;
}

export interface ReadAnswer {
  readonly records: readonly LogRecord[];
  /** Where to go on: beyond the last record, or beyond a gap. */
  readonly nextOffset: number;
  /** Whether there was no more at the moment. */
  readonly isEnd: boolean;
}

export interface PartitionBounds {
  readonly partition: number;
  readonly firstOffset: number;
  readonly nextOffset: number;
}

export interface ReturnedRequest {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly nowMs: number;
  readonly recordsMax: number;
  /** Those that are in work already. */
  readonly except: ReadonlySet<number>;
}

export interface ReturnedAnswer {
  readonly records: readonly LogRecord[];
  /** When the next one is due that was not read; Infinity when there is none. */
  readonly nextDueMs: number;
}

/** How a store wants to be used. */
export interface LogStorePace {
  readonly clock: Clock;
  /** Settlements wait so long for others before they are committed. */
  readonly commitEveryMs: number;
  /** A member shows that it is alive so often; Infinity where nobody would miss it. */
  readonly heartbeatMs: number;
  readonly tracksCrashes: boolean;
}
