import type { EventContract } from "../../../contract/index.ts";
import type { Observer, Platform } from "../../../platform/index.ts";
import type { SchemaRegistryOptions } from "../../broker.ts";
import type { PublishFailure } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import type { LogRecord } from "../../log/index.ts";
import type { EventRecord } from "../../record.ts";
import { FrameReader, FrameWriter, openRegistry, type Registry } from "../../schema-registry/index.ts";
import type { MakeRecord } from "./partition-reader.ts";

export type FindContract = (topic: string, type: string) => EventContract | undefined;

type Outcomes = readonly (PublishFailure | undefined)[];

/** Bodies in Confluent's wire format, both ways: between the driver's port and what goes over the wire. */
export class Framing {
  readonly reader: FrameReader;
  readonly #registry: Registry;
  readonly #writer: FrameWriter;
  #find: FindContract = () => undefined;
  /** Publishes that wait for schemas, and all that come behind them. */
  #waiting: Promise<unknown> | undefined;

  /** @throws BrokerError for options that mean nothing */
  constructor(options: SchemaRegistryOptions, platform: Platform, observer: Observer) {
    this.#registry = openRegistry(options, platform, observer);
    this.#writer = new FrameWriter(this.#registry, platform.clock, options);
    this.reader = new FrameReader(this.#registry, platform);
  }

  knowEvents(find: FindContract): void {
    this.#find = find;
  }

  /** Sends records when their schemas are there. Records keep their order, also over calls that overlap. */
  publish(
    records: readonly EventRecord[],
    send: (framed: readonly EventRecord[]) => Promise<Outcomes>,
  ): Promise<Outcomes> {
    if (this.#waiting === undefined && records.every(record => this.#isReady(record))) {
      return send(records.map(record => this.framed(record)));
    }
    const turn = this.#inTurn(records, this.#waiting);
    const waiting = turn.then(() => {
      if (this.#waiting === waiting) this.#waiting = undefined;
    });
    this.#waiting = waiting;
    return turn.then(failures => sendRest(records, failures, rest => send(rest.map(record => this.framed(record)))));
  }

  /** Resolves when a record can be framed. @throws PublishError */
  async prepare(record: EventRecord): Promise<void> {
    if (this.#isReady(record)) return;
    const contract = this.#find(record.topic, record.type);
    if (contract === undefined) {
      throw new PublishError(
        `no loaded contract knows ${record.type} of ${record.topic}, so that it has no schema; name its file in connectBroker's contracts`,
        false,
      );
    }
    try {
      await this.#writer.prepare(contract);
    } catch (cause) {
      const { isRetryable = true, message } = cause as { readonly isRetryable?: boolean; readonly message: string };
      throw new PublishError(message, isRetryable, { cause });
    }
  }

  /** Needs `prepare`. */
  framed(record: EventRecord): EventRecord {
    const contract = isProtobuf(record) ? this.#find(record.topic, record.type) : undefined;
    if (contract === undefined || !this.#writer.isReady(contract)) return record;
    return { ...record, body: this.#writer.frame(contract, record.body) };
  }

  /** Finds the message of a record that was read by itself. @returns false while its schema is being asked for */
  unframe(record: LogRecord): boolean {
    const bytes = Buffer.from(record.body.buffer, record.body.byteOffset, record.body.byteLength);
    if (!this.reader.isReady(bytes, 0, bytes.length)) return false;
    record.wrapped = this.reader.unwrap(record.body);
    return true;
  }

  /** Makes records whose messages are found in their frames. */
  unframing(make: MakeRecord): MakeRecord {
    return (cursor, header, topic, partition): LogRecord => {
      const record = make(cursor, header, topic, partition);
      record.wrapped = this.reader.unwrap(record.body);
      return record;
    };
  }

  close(): void {
    this.reader.close();
    this.#registry.close();
  }

  #isReady(record: EventRecord): boolean {
    if (!isProtobuf(record)) return true;
    const contract = this.#find(record.topic, record.type);
    return contract !== undefined && this.#writer.isReady(contract);
  }

  async #inTurn(records: readonly EventRecord[], before: Promise<unknown> | undefined): Promise<Outcomes> {
    await before;
    const failures = new Array<PublishFailure | undefined>(records.length);
    const failedKeys = new Map<string, PublishFailure>();
    for (const [index, record] of records.entries()) {
      const behind = record.key === undefined ? undefined : failedKeys.get(record.key);
      failures[index] = behind;
      if (behind !== undefined) continue;
      try {
        await this.prepare(record);
      } catch (error) {
        const failure = { isRetryable: (error as PublishError).isRetryable, error: error as PublishError };
        failures[index] = failure;
        // What will be repeated must not be overtaken by what comes behind it.
        if (failure.isRetryable && record.key !== undefined) failedKeys.set(record.key, failure);
      }
    }
    return failures;
  }
}

/** A body of another kind goes as it is. */
function isProtobuf({ contentType }: EventRecord): boolean {
  return contentType === "application/protobuf";
}

async function sendRest(
  records: readonly EventRecord[],
  failures: Outcomes,
  send: (rest: readonly EventRecord[]) => Promise<Outcomes>,
): Promise<Outcomes> {
  const rest = records.filter((_, index) => failures[index] === undefined);
  if (rest.length === 0) return failures;
  const outcomes = [...(await send(rest))];
  return failures.map(failure => failure ?? outcomes.shift());
}
