/**
 * What brokers that are logs have in common: a lane for each assigned partition, its watermark, the account of crashes that
 * travels with commits, the partition of a key, how members share partitions out; and for logs that are no servers, the
 * driver over a store of records. Imports only the port and the platform. Start at `lane.ts`, then `store.ts`.
 */
export { assignLanes, type GroupMember, type SharedLane } from "./assignment.ts";
export { LogDriver } from "./driver.ts";
export { type Due, DueQueue } from "./due-queue.ts";
export { Isolation } from "./isolation.ts";
export { type LaneCommit, type LaneHost, LogLane, type LogLaneOptions, type ParkedAgain } from "./lane.ts";
export { editedLetter, letterMatches, letterOf } from "./letters.ts";
export { LogRecord, noHistory } from "./log-record.ts";
export type { ParkedRow, ParkedStore, RowToPark } from "./parking.ts";
export { murmur2, partitionOf } from "./partition.ts";
export { goneReplies } from "./replies.ts";
export type {
  Balance,
  GrantedLane,
  HeldLane,
  LogStore,
  LogStorePace,
  PartitionBounds,
  ReadAnswer,
  ReadRequest,
  ReturnedAnswer,
  ReturnedRequest,
  StoreMember,
  StoreWatcher,
} from "./store.ts";
export { Watermark } from "./watermark.ts";
