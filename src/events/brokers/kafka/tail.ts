import { BrokerError } from "../../errors.ts";
import type { LogRecord } from "../../log/index.ts";
import type { StoredRecord } from "../../record.ts";
import { Fetcher } from "./fetcher.ts";
import { tailRecordsMax } from "./limits.ts";
import { partsOf, type ScanParts } from "./log-scan.ts";
import type { FetchTarget } from "./partition-reader.ts";
import { recordAt } from "./records.ts";

/** Reads topics without belonging to a group, until `signal` is aborted. @throws BrokerError for a missing topic */
export async function* tail(
  parts: ScanParts,
  topics: readonly string[],
  from: "beginning" | "now",
  signal: AbortSignal,
): AsyncGenerator<StoredRecord, void, undefined> {
  const waiting: LogRecord[] = [];
  const lanes = new Set<TailLane>();
  let wake = () => {};
  let failure: Error | undefined;
  const add = (records: readonly LogRecord[]) => {
    waiting.push(...records);
    wake();
  };
  const host = {
    truncated(target: FetchTarget, offset: number) {
      const lane = new TailLane(target.topic, target.partition, offset, add);
      lanes.add(lane);
      fetcher.add(lane, recordAt);
    },
    failed(error: Error) {
      failure = error;
      wake();
    },
  };
  const fetcher = new Fetcher(parts.client, parts.cluster, parts.platform, host);
  const end = () => wake();
  signal.addEventListener("abort", end);
  try {
    for (const topic of topics) {
      const there = await partsOf(parts, topic);
      if (there.length === 0) throw new BrokerError(`kafka: there is no topic ${JSON.stringify(topic)}`);
      for (const { partition, first, next } of there) {
        const lane = new TailLane(topic, partition, from === "now" ? next : first, add);
        lanes.add(lane);
        fetcher.add(lane, recordAt);
      }
    }
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      const changed = new Promise<void>(resolve => {
        wake = resolve;
      });
      const records = waiting.splice(0);
      for (const record of records) {
        if (signal.aborted) return;
        yield record;
      }
      for (const lane of lanes) lane.waiting = 0;
      if (records.length > 0) fetcher.wake();
      if (waiting.length === 0 && !signal.aborted) await changed;
    }
  } finally {
    signal.removeEventListener("abort", end);
    await fetcher.close();
  }
}

class TailLane implements FetchTarget {
  readonly topic: string;
  readonly partition: number;
  readonly limit = Number.POSITIVE_INFINITY;
  position: number;
  waiting = 0;
  readonly #add: (records: readonly LogRecord[]) => void;

  constructor(topic: string, partition: number, position: number, add: (records: readonly LogRecord[]) => void) {
    this.topic = topic;
    this.partition = partition;
    this.position = position;
    this.#add = add;
  }

  get isOpen(): boolean {
    return this.room > 0;
  }

  get room(): number {
    return tailRecordsMax - this.waiting;
  }

  deliver(records: readonly LogRecord[], nextOffset?: number): void {
    const last = records.at(-1);
    this.position = nextOffset ?? (last === undefined ? this.position : last.offset + 1);
    this.waiting += records.length;
    if (records.length > 0) this.#add(records);
  }

  skipTo(offset: number): void {
    this.position = offset;
  }
}
