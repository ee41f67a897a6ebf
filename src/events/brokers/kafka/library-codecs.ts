import type { Connection, Library, Reader } from "./client.ts";
import {
  CallError,
  type FetchAnswer,
  type FetchRequest,
  type Place,
  type ProduceAnswer,
  type ProduceBatch,
} from "./wire.ts";

/** A request of the library at one version. */
export interface Api<A extends readonly unknown[], R> {
  readonly async: (connection: Connection, ...args: A) => Promise<R>;
  readonly version: number;
}

/** Batches that are encoded already: the library's codec would encode records itself, at three times the cost. */
export function produceApi(
  library: Library,
): Api<[readonly ProduceBatch[], number, string | undefined], readonly ProduceAnswer[]> {
  const create = (batches: readonly ProduceBatch[], timeoutMs: number, transactionalId: string | undefined) =>
    library.Writer.create()
      .appendString(transactionalId)
      .appendInt16(-1)
      .appendInt32(timeoutMs)
      .appendArray(
        byTopic(batches, batch => batch),
        (writer, { name, partitions }) => {
          writer.appendString(name).appendArray(partitions, (inner, { partition, bytes }) => {
            inner
              .appendInt32(partition)
              .appendUnsignedVarInt(bytes.length + 1)
              .append(bytes);
          });
        },
      )
      .appendTaggedFields();
  const parse = (_correlation: number, _key: number, _version: number, reader: Reader): readonly ProduceAnswer[] =>
    reader
      .readArray(topicReader => {
        const topic = topicReader.readString();
        return topicReader.readArray(one => {
          const partition = one.readInt32();
          const error = one.readInt16();
          // Base offset, time of the append, start of the log.
          one.skip(24);
          one.readArray(record => {
            record.skip(4);
            record.readNullableString();
          });
          return { topic, partition, error, message: one.readNullableString() ?? undefined };
        });
      })
      .flat();
  return library.createAPI(0, 9, create as never, parse as never) as never;
}

/** Records stay bytes: they are read lazily, with checks that the library's reader does not make. */
export function fetchApi(library: Library, version: number): Api<[FetchRequest], readonly FetchAnswer[]> {
  // Answers name topics by id. The ids of a request are taken along by the array of its places.
  const names = new Map<string, string>();
  const create = ({ maxWaitMs, bytesMax, partitions }: FetchRequest) => {
    const writer = library.Writer.create();
    if (version < 15) writer.appendInt32(-1);
    for (const { topic, topicId } of partitions) names.set(topicId, topic);
    // Committed transactions only; no session.
    writer.appendInt32(maxWaitMs).appendInt32(1).appendInt32(bytesMax).appendInt8(1).appendInt32(0).appendInt32(-1);
    return writer
      .appendArray(
        byTopic(partitions, place => place),
        (topicWriter, { partitions: places }) => {
          topicWriter.appendUUID((places[0] as (typeof places)[number]).topicId).appendArray(places, (inner, place) => {
            // No leader epoch is asked for, none was fetched; we have no log of our own.
            inner.appendInt32(place.partition).appendInt32(-1).appendInt64(BigInt(place.offset)).appendInt32(-1);
            inner.appendInt64(-1n).appendInt32(place.bytesMax);
          });
        },
      )
      .appendArray([], () => {})
      .appendString("")
      .appendTaggedFields();
  };
  const parse = (_correlation: number, _key: number, _version: number, reader: Reader): readonly FetchAnswer[] => {
    reader.skip(4);
    const whole = reader.readInt16();
    reader.skip(4);
    const answers = reader.readArray(topicReader => {
      const topicId = topicReader.readUUID();
      const topic = names.get(topicId) ?? "";
      return topicReader.readArray(one => fetchAnswerFrom(topic, one));
    });
    if (whole !== 0) throw new CallError(`the broker refused a fetch with error code ${whole}`, true, false);
    return answers.flat();
  };
  return library.createAPI(1, version, create as never, parse as never) as never;
}

function fetchAnswerFrom(topic: string, reader: Reader): FetchAnswer {
  const partition = reader.readInt32();
  const error = reader.readInt16();
  const highWatermark = Number(reader.readInt64());
  // Last stable offset, start of the log.
  reader.skip(16);
  const aborted = reader.readNullableArray(one => ({
    producerId: one.readInt64(),
    firstOffset: Number(one.readInt64()),
  }));
  // Preferred replica: we read from leaders.
  reader.skip(4);
  const length = reader.readUnsignedVarInt() - 1;
  let records: Buffer | undefined;
  if (length > 0) {
    if (length > reader.remaining) throw new RangeError(`a fetch answer declares ${length} bytes of records`);
    const start = reader.position;
    records = reader.buffer.slice(start, start + length);
    reader.skip(length);
  }
  return { topic, partition, error, highWatermark, abortedTransactions: aborted ?? [], records };
}

/** Places as the protocol groups them. */
export function byTopic<T extends Place, R>(
  places: readonly T[],
  map: (place: T) => R,
): { readonly name: string; readonly partitions: R[] }[] {
  const topics = new Map<string, R[]>();
  for (const place of places) {
    const partitions = topics.get(place.topic);
    if (partitions === undefined) topics.set(place.topic, [map(place)]);
    else partitions.push(map(place));
  }
  return [...topics].map(([name, partitions]) => ({ name, partitions }));
}
