import type { DescMessage } from "@bufbuild/protobuf";
import type { PublishOptions } from "../broker.ts";
import type { InboxSource } from "../inbox/index.ts";

/** An instance as a row. */
export interface InstanceRow {
  readonly version: number;
  /** JSON. */
  readonly state: string;
  /** JSON: what is known of its running time-outs. */
  readonly timeouts: string;
  readonly isCompleted: boolean;
}

/** What an input changes. */
export interface Change {
  readonly row: InstanceRow;
  readonly events: readonly {
    readonly schema: DescMessage;
    readonly event: Readonly<Record<string, unknown>>;
    readonly options: Omit<PublishOptions, "signal"> | undefined;
  }[];
}

/** What work on an instance says: what is written, and what its caller learns of it. */
export interface Worked<T> {
  readonly change: Change | undefined;
  readonly result: T;
}

/** Where the instances of one process are kept, in the user's database. */
export interface ProcessStore {
  /** Makes the table where it is missing. */
  open(): Promise<void>;
  /**
   * In one transaction: notes that the delivery was seen, reads the instance, lets `work` decide, writes the instance if nobody
   * has changed it meanwhile, and puts the events into the outbox. Resolves with the result, or `undefined` for a delivery
   * that was seen before.
   * @throws Conflict when another process has changed the instance; what `work` throws; each after a rollback
   */
  run<T extends object>(
    delivery: InboxSource,
    instance: string,
    work: (row: InstanceRow | undefined) => Worked<T>,
  ): Promise<T | undefined>;
  find(instance: string): Promise<InstanceRow | undefined>;
  /** Removes instances that were completed longer ago than `keepMs`; at most `rowsMax`. */
  cleanUp(keepMs: number, rowsMax: number): Promise<void>;
}

/** Another process has changed the instance between reading and writing it. */
export class Conflict extends Error {
  override readonly name = "Conflict";

  constructor(process: string, instance: string) {
    super(`process ${process}: another process has changed the instance ${JSON.stringify(instance)} at the same time`);
  }
}
