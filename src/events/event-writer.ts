import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { compileEvent, type EventContract } from "../contract/index.ts";
import { ByteWriter, contextValue, currentWork, type Platform } from "../platform/index.ts";
import { isReservedHeader } from "./attributes.ts";
import type { BrokerOptions, PublishOptions } from "./broker.ts";
import { BrokerError, PublishError } from "./errors.ts";
import type { EventIds } from "./event-id.ts";
import { headerCharsMax, keyCharsMax } from "./limits.ts";
import type { EventRecord } from "./record.ts";

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});
const noOptions: PublishOptions = Object.freeze({});

/** What the writer has to know of its broker. */
export interface WriterOptions {
  readonly source: string;
  readonly contentType: NonNullable<BrokerOptions["contentType"]>;
  readonly bodyBytesMax: number;
  readonly canDelay: boolean;
  readonly brokerName: string;
}

/** Turns messages into records: encodes the body, and says all that the message does not say itself. */
export class EventWriter {
  /** Largest body that the broker takes, in bytes. */
  readonly bodyBytesMax: number;
  readonly #platform: Platform;
  readonly #ids: EventIds;
  readonly #options: WriterOptions;
  readonly #scratch = new ByteWriter();
  #slab = Buffer.alloc(0);
  #slabUsed = slabBytes;

  constructor(platform: Platform, ids: EventIds, options: WriterOptions) {
    this.#platform = platform;
    this.#ids = ids;
    this.#options = options;
    this.bodyBytesMax = options.bodyBytesMax;
  }

  /**
   * @throws PublishError for what no broker would take; ContractError when the message is no event; CodecError for a value
   * that its field cannot hold
   */
  write<D extends DescMessage>(
    schema: D,
    message: MessageInitShape<D>,
    options: PublishOptions = noOptions,
    canDelay = this.#options.canDelay,
  ): EventRecord {
    const contract = compileEvent(schema);
    const { contentType, source, bodyBytesMax, brokerName } = this.#options;
    // The event belongs to the trace of the work that causes it and matters as much, but does not share its deadline.
    const work = contextValue(currentWork);
    const body = this.encodeBody(contract, message);
    if (body.length > bodyBytesMax) {
      throw new PublishError(
        `${contract.type} on ${contract.topic}: the body has ${body.length} bytes; ${brokerName} takes ${bodyBytesMax}`,
        false,
      );
    }
    const { notBeforeMs } = options;
    if (notBeforeMs !== undefined && !canDelay) {
      throw new BrokerError(
        `publish: notBeforeMs is set, and ${brokerName} cannot deliver later (capabilities.delay is "none"); put it into an outbox, which waits for it, or use a broker that can`,
      );
    }
    return {
      topic: contract.topic,
      key: options.key === undefined ? contract.keyOf(message) : checkedKey(options.key),
      id: options.id === undefined ? this.#ids.next() : checkedId(options.id),
      source,
      type: contract.type,
      timeMs: options.timeMs === undefined ? this.#platform.clock.wall() : checkedTime("timeMs", options.timeMs),
      contentType,
      trace: work?.trace,
      priority: options.priority ?? work?.priority ?? "default",
      expiresAtMs: options.expiresAtMs === undefined ? undefined : checkedTime("expiresAtMs", options.expiresAtMs),
      notBeforeMs: notBeforeMs === undefined ? undefined : checkedTime("notBeforeMs", notBeforeMs),
      replyTo: undefined,
      correlationId: undefined,
      headers: options.headers === undefined ? noHeaders : checkedHeaders(options.headers),
      body,
    };
  }

  /** What every reply says of itself. */
  replyAttributes(): Pick<EventRecord, "id" | "source" | "timeMs" | "contentType"> {
    const { source, contentType } = this.#options;
    return { id: this.#ids.next(), source, timeMs: this.#platform.clock.wall(), contentType };
  }

  /** @throws CodecError for a value that its field cannot hold */
  encodeBody(contract: Pick<EventContract, "binary" | "json">, message: object): Uint8Array {
    if (this.#options.contentType === "application/json") return this.#textBytes(contract.json.encode(message));
    const scratch = this.#scratch;
    scratch.position = 0;
    contract.binary.encode(message, scratch);
    return scratch.copyFrom(0);
  }

  /**
   * UTF-8 of a text. Small ones share slabs, larger ones than Node's own pool has: making memory costs as much as encoding
   * (`bench/events/memory.ts`). Who keeps one for long keeps its slab, which is little beside what a broker buffers.
   */
  #textBytes(text: string): Buffer {
    // At most three bytes for each UTF-16 unit.
    const most = text.length * 3;
    if (most > slabTextBytesMax) return Buffer.from(text, "utf8");
    if (this.#slabUsed + most > slabBytes) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += this.#slab.write(text, start, "utf8");
    return this.#slab.subarray(start, this.#slabUsed);
  }
}

/** What small bodies are cut from, and the largest text that is one, in bytes. */
const slabBytes = 65_536;
const slabTextBytesMax = 4_096;

export function checkedKey(key: string): string {
  if (typeof key === "string" && key !== "" && key.length <= keyCharsMax) return key;
  throw refused(`key must be a text of 1 to ${keyCharsMax} characters; leave it out for an event without order`);
}

export function checkedId(id: string): string {
  if (typeof id === "string" && id !== "" && id.length <= 255) return id;
  throw refused("id must be a text of 1 to 255 characters");
}

/** What an ISO 8601 text of four digits can say. */
const latestMs = 253_402_300_799_999;

function checkedTime(name: string, ms: number): number {
  if (typeof ms === "number" && ms >= 0 && ms <= latestMs) return Math.floor(ms);
  throw refused(`${name} is ${String(ms)}; it must be milliseconds since 1970-01-01 UTC`);
}

export function checkedHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const checked: Record<string, string> = {};
  let chars = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/.test(name)) {
      throw refused(`the header ${JSON.stringify(name.slice(0, 100))} has no name of an HTTP header`);
    }
    const lower = name.toLowerCase();
    if (isReservedHeader(lower))
      throw refused(`the header ${name} is Trunkline's own; use the option that it stands for`);
    if (lower === "__proto__") throw refused(`no header can be called ${name}`);
    if (typeof value !== "string") throw refused(`the header ${name} is a ${typeof value}; it must be a text`);
    chars += lower.length + value.length;
    checked[lower] = value;
  }
  if (chars > headerCharsMax) throw refused(`the headers have ${chars} characters; ${headerCharsMax} are the most`);
  return checked;
}

export function refused(problem: string): PublishError {
  return new PublishError(`publish: ${problem}`, false);
}
