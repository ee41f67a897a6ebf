/**
 * What brokers that are logs have in common: a lane for each assigned partition, its watermark, the account of crashes that
 * travels with commits, the partition of a key, and how members share partitions out. Imports only the port and the platform.
 * Start at `lane.ts`.
 */
export { assignLanes, type GroupMember, type SharedLane } from "./assignment.ts";
export { type LaneCommit, type LaneHost, LogLane, type LogLaneOptions } from "./lane.ts";
export { LogRecord, noHistory } from "./log-record.ts";
export { murmur2, partitionOf } from "./partition.ts";
export { Watermark } from "./watermark.ts";
