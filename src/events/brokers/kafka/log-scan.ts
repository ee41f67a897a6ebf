import type { Platform } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import type { LogRecord } from "../../log/index.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText, isTransient } from "./error-codes.ts";
import { deliveryTimeoutMs, fetchBytesMax, fetchPartitionBytesMax } from "./limits.ts";
import { type FetchTarget, type MakeRecord, PartitionReader } from "./partition-reader.ts";
import { pause } from "./pause.ts";
import { bounds } from "./starting-points.ts";
import { CallError, type Channel, type FetchAnswer, type KafkaClient } from "./wire.ts";

/** Part of a partition, from `first` to below `next`. */
export interface LogPart {
  readonly topic: string;
  readonly partition: number;
  readonly first: number;
  readonly next: number;
}

export interface ScanParts {
  readonly client: KafkaClient;
  readonly channel: Channel;
  readonly cluster: Cluster;
  readonly platform: Platform;
}

/** What a topic has at the moment; nothing where it does not exist. */
export async function partsOf(parts: ScanParts, topic: string): Promise<readonly LogPart[]> {
  const { cluster, channel } = parts;
  await repeated(parts, () => cluster.refresh([topic]));
  const partitions = (cluster.topic(topic)?.leaders ?? []).map((_, partition) => ({ topic, partition }));
  return repeated(parts, async () => {
    const first = await bounds(
      cluster,
      channel,
      partitions.map(place => ({ ...place, which: "earliest" as const })),
    );
    const next = await bounds(
      cluster,
      channel,
      partitions.map(place => ({ ...place, which: "latest" as const })),
    );
    const starts = new Map(first.map(({ partition, offset }) => [partition, offset]));
    return next.map(({ partition, offset }) => ({ topic, partition, first: starts.get(partition) ?? 0, next: offset }));
  });
}

/** Reads a part once, answer by answer, for whoever is no member of a group. @throws BrokerError */
export async function* scan(parts: ScanParts, part: LogPart, make: MakeRecord): AsyncGenerator<readonly LogRecord[]> {
  const collector = new Collector(part);
  const reader = new PartitionReader(collector, parts.client, make);
  while (collector.position < part.next) {
    const answer = await repeated(parts, () => fetchOnce(parts, part, reader.fetchOffset));
    if (answer.error === code.offsetOutOfRange) {
      // Retention was faster: what is left begins later.
      const [now] = (await partsOf(parts, part.topic)).filter(({ partition }) => partition === part.partition);
      if (now === undefined || now.first <= collector.position) return;
      collector.skipTo(now.first);
      reader.restart();
      continue;
    }
    reader.add(answer);
    if (!reader.hasRecords) return;
    while (reader.hasRecords && collector.position < part.next) {
      const before = collector.position;
      reader.deliver(1_000);
      const records = collector.taken();
      if (records.length > 0) yield records;
      else if (collector.position === before) break;
    }
  }
}

async function fetchOnce(
  { channel, cluster }: ScanParts,
  { topic, partition }: LogPart,
  offset: number,
): Promise<FetchAnswer> {
  const leader = cluster.leaderOf(topic, partition);
  const topicId = cluster.topic(topic)?.topicId;
  if (leader === undefined || topicId === undefined) {
    await cluster.refresh([topic]);
    throw new Error(`${topic}/${partition} has no leader`);
  }
  const partitions = [{ topic, topicId, partition, offset, bytesMax: fetchPartitionBytesMax }];
  const [answer] = await channel.fetch(leader, { maxWaitMs: 100, bytesMax: fetchBytesMax, partitions });
  if (answer === undefined) throw new Error(`${topic}/${partition} was left out of an answer`);
  if (answer.error === code.none || answer.error === code.offsetOutOfRange) return answer;
  if (!isTransient(answer.error))
    throw new BrokerError(`kafka: ${topic}/${partition} cannot be read: ${codeText(answer.error)}`);
  await cluster.refresh([topic]);
  throw new Error(`${topic}/${partition}: ${codeText(answer.error)}`);
}

/** Repeats what fails for the moment. @throws BrokerError at once for what will not change, and after a while for the rest */
export async function repeated<T>({ cluster, platform }: ScanParts, run: () => Promise<T>): Promise<T> {
  const untilMs = platform.clock.now() + deliveryTimeoutMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (error instanceof BrokerError) throw error;
      const isFinal = error instanceof CallError && error.isFinal;
      if (isFinal || cluster.isClosed || platform.clock.now() > untilMs) {
        throw new BrokerError(`kafka: ${(error as Error).message}`, { cause: error });
      }
      await pause(platform.clock, cluster.pauseMs(attempt));
    }
  }
}

class Collector implements FetchTarget {
  readonly topic: string;
  readonly partition: number;
  readonly limit: number;
  readonly isOpen = true;
  readonly room = Number.POSITIVE_INFINITY;
  position: number;
  #records: LogRecord[] = [];

  constructor({ topic, partition, first, next }: LogPart) {
    this.topic = topic;
    this.partition = partition;
    this.position = first;
    this.limit = next;
  }

  deliver(records: readonly LogRecord[], nextOffset?: number): void {
    this.#records.push(...records);
    const last = records.at(-1);
    this.position = nextOffset ?? (last === undefined ? this.position : last.offset + 1);
  }

  skipTo(offset: number): void {
    this.position = offset;
  }

  taken(): readonly LogRecord[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }
}
