import type {
  DeadLetter,
  DeadLetterEdit,
  DeadLetterFilter,
  DeadLetterReason,
  DeadLetterStore,
} from "../../dead-letter.ts";
import type { DeathDetails } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventIds } from "../../event-id.ts";
import { editedLetter, LogRecord, letterMatches, letterOf, noHistory } from "../../log/index.ts";
import type { StoredRecord } from "../../record.ts";
import type { BatchHeader, RecordCursor } from "./batch-reader.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { code } from "./error-codes.ts";
import { lettersMax } from "./limits.ts";
import { type LogPart, partsOf, repeated, type ScanParts, scan } from "./log-scan.ts";
import type { Producer } from "./producer.ts";
import { outgoingCopy, outgoingRetry, recordAt, textHeaders } from "./records.ts";
import { deadTopicOf, retryTopicOf } from "./topics.ts";

const prefix = "trunkline-letter-";
const suffix = ".dead";

/** Where the newest record of a letter is. */
interface LetterPlace {
  readonly part: LogPart;
  readonly offset: number;
}

/**
 * The dead letters of groups, in the compacted topic `<group>.dead` of each: the key is the id of the letter, the body the
 * original's, the story stands in headers. A later record of the same id replaces a letter, a tombstone ends it.
 */
export class DeadLetters implements DeadLetterStore {
  readonly #parts: ScanParts;
  readonly #producer: Producer;
  readonly #ids: EventIds;

  constructor(parts: ScanParts, producer: Producer, ids: EventIds) {
    this.#parts = parts;
    this.#producer = producer;
    this.#ids = ids;
  }

  async bury(group: string, record: StoredRecord, details: DeathDetails): Promise<void> {
    await this.#write(this.outgoing(group, record, details));
  }

  /** What `bury` publishes. */
  outgoing(group: string, record: StoredRecord, details: DeathDetails): OutgoingRecord {
    const letter = letterOf(this.#ids.next(), group, record, details, this.#nowMs());
    return this.#outgoing(letter, record.fallbackId);
  }

  async *list(filter: DeadLetterFilter): AsyncGenerator<DeadLetter, void, undefined> {
    let left = filter.limit ?? Number.POSITIVE_INFINITY;
    const wanted = filter.letterIds === undefined ? undefined : new Set(filter.letterIds);
    for (const group of await this.#groups(filter)) {
      const places = await this.#index(group, wanted);
      const reader = new LetterReader(this.#parts);
      // Ids are UUIDs of version 7: their order is that of the deaths, also when a letter was edited later.
      for (const id of [...places.keys()].sort()) {
        if (left <= 0) return;
        const record = await reader.at(places.get(id) as LetterPlace);
        const letter = record === undefined ? undefined : letterFrom(group, record);
        if (letter === undefined || !letterMatches(letter, filter)) continue;
        left--;
        yield letter;
      }
    }
  }

  async replay(letter: DeadLetter): Promise<void> {
    const record = { ...letter, fallbackId: await this.#fallbackIdOf(letter) };
    const nowMs = this.#nowMs();
    await this.#write(outgoingRetry(record, retryTopicOf(letter.group), nowMs, noHistory, nowMs));
    await this.#end(letter);
  }

  async discard(letter: DeadLetter): Promise<void> {
    await this.#end(letter);
  }

  async edit(letter: DeadLetter, change: DeadLetterEdit): Promise<DeadLetter> {
    const fallbackId = await this.#fallbackIdOf(letter);
    const edited = editedLetter(letter, change);
    await this.#write(this.#outgoing(edited, fallbackId));
    return edited;
  }

  #nowMs(): number {
    return Math.floor(this.#parts.platform.clock.wall());
  }

  async #groups({ group }: DeadLetterFilter): Promise<readonly string[]> {
    if (group !== undefined) return [group];
    const topics = await repeated(this.#parts, () => this.#parts.cluster.allTopics());
    const found = topics.filter(({ topic, error }) => error === code.none && topic.endsWith(suffix));
    return found.map(({ topic }) => topic.slice(0, -suffix.length)).sort();
  }

  /** The letters of a group that were not ended. */
  async #index(group: string, wanted?: ReadonlySet<string>): Promise<ReadonlyMap<string, LetterPlace>> {
    const places = new Map<string, LetterPlace>();
    for (const part of await partsOf(this.#parts, deadTopicOf(group))) {
      for await (const records of scan(this.#parts, part, keyAt)) {
        for (const { key, offset, returnedId } of records) {
          if (key === undefined || (wanted !== undefined && !wanted.has(key))) continue;
          if (returnedId === tombstone) places.delete(key);
          else places.set(key, { part, offset });
        }
        if (places.size > lettersMax) {
          throw new BrokerError(
            `kafka: group ${group} has more than ${lettersMax} dead letters; name those that are wanted by their ids, or read the topic ${deadTopicOf(group)}`,
          );
        }
      }
    }
    return places;
  }

  /** The id of an event that has none of its own: it stays the same through all its ways. @throws BrokerError for a letter that is gone */
  async #fallbackIdOf({ group, letterId, place }: DeadLetter): Promise<string> {
    const found = (await this.#index(group, new Set([letterId]))).get(letterId);
    const record = found === undefined ? undefined : await new LetterReader(this.#parts).at(found);
    if (record === undefined) throw new BrokerError(`the dead letter ${letterId} of ${group} is not there any more`);
    return record.story.get(`${prefix}fallback-id`) ?? place.replace("@", "/");
  }

  #end({ letterId, group }: DeadLetter): Promise<void> {
    const topic = deadTopicOf(group);
    return this.#write({ topic, key: letterId, value: undefined, headers: [], timestampMs: this.#nowMs() });
  }

  #outgoing(letter: DeadLetter, fallbackId: string): OutgoingRecord {
    const story: Readonly<Record<string, string | number | undefined>> = {
      topic: letter.topic,
      key: letter.key,
      reason: letter.reason,
      exception: letter.exception,
      attempts: letter.attempts,
      "first-failed-at": letter.firstFailedAtMs,
      "died-at": letter.diedAtMs,
      place: letter.place,
      "fallback-id": fallbackId,
      consumer: letter.consumer,
      contract: letter.contract,
    };
    const more: string[] = [];
    for (const [name, value] of Object.entries(story)) {
      if (value !== undefined) more.push(`${prefix}${name}`, String(value));
    }
    return outgoingCopy(letter, deadTopicOf(letter.group), letter.letterId, more, this.#nowMs());
  }

  async #write(record: OutgoingRecord): Promise<void> {
    const [failure] = await this.#producer.send([record]);
    if (failure !== undefined) throw failure.error;
  }
}

/** In place of a returned record's number: what the index needs to know of a record. */
const tombstone = 1;

function keyAt(cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord {
  const { bytes, keyStart, keyEnd, valueStart, offsetDelta } = cursor;
  const key = keyStart < 0 ? undefined : bytes.toString("utf8", keyStart, keyEnd);
  const offset = header.baseOffset + offsetDelta;
  const returnedId = valueStart < 0 ? tombstone : undefined;
  return new LogRecord(topic, partition, offset, key, {}, noBytes, undefined, noHistory, returnedId);
}

const noBytes = new Uint8Array(0);

class StoryRecord extends LogRecord {
  story: ReadonlyMap<string, string> = new Map();
}

function storyAt(cursor: RecordCursor, header: BatchHeader, topic: string, partition: number): LogRecord {
  const { offset, key, attributes, body, storedAtMs } = recordAt(cursor, header, topic, partition);
  const record = new StoryRecord(topic, partition, offset, key, attributes, body, storedAtMs);
  record.story = new Map(textHeaders(cursor));
  return record;
}

/** Reads letters one by one where they are; neighbours come with one answer. */
class LetterReader {
  readonly #parts: ScanParts;
  #ahead = new Map<string, LogRecord>();

  constructor(parts: ScanParts) {
    this.#parts = parts;
  }

  async at({ part, offset }: LetterPlace): Promise<StoryRecord | undefined> {
    const key = (at: number) => `${part.partition}@${at}`;
    if (!this.#ahead.has(key(offset))) {
      this.#ahead = new Map();
      for await (const records of scan(this.#parts, { ...part, first: offset }, storyAt)) {
        for (const record of records) this.#ahead.set(key(record.offset), record);
        break;
      }
    }
    return this.#ahead.get(key(offset)) as StoryRecord | undefined;
  }
}

const reasons: readonly string[] = [
  "attempts",
  "discarded",
  "undecodable",
  "invalid",
  "unknown_type",
  "expired",
  "refused",
];

/** Somebody else may have written to the topic: what is no letter is passed over. */
function letterFrom(group: string, { key: letterId, attributes, body, story }: StoryRecord): DeadLetter | undefined {
  const of = (name: string) => story.get(`${prefix}${name}`);
  const number = (name: string) => {
    const text = of(name);
    return text !== undefined && /^[0-9]{1,15}(?:\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
  };
  const [topic, reason, diedAtMs] = [of("topic"), of("reason"), number("died-at")];
  if (letterId === undefined || topic === undefined || diedAtMs === undefined) return undefined;
  if (reason === undefined || !reasons.includes(reason)) return undefined;
  return {
    letterId,
    group,
    topic,
    key: of("key"),
    attributes,
    body,
    reason: reason as DeadLetterReason,
    exception: of("exception"),
    attempts: number("attempts") ?? 0,
    firstFailedAtMs: number("first-failed-at"),
    diedAtMs,
    place: of("place") ?? "",
    consumer: of("consumer") ?? "",
    contract: of("contract"),
  };
}
