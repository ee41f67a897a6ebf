import { contextKey } from "../../platform/index.ts";
import { PublishError } from "../errors.ts";
import type { EventRecord } from "../record.ts";
import { outputBytesMax, outputRecordsMax } from "./limits.ts";

/**
 * What one attempt of a handler publishes in a transactional subscription: kept until the attempt has succeeded, then made
 * durable together with the settlement of its event; forgotten when it fails.
 */
export class HandlerOutputs {
  /** Whose publishes it takes: those through another connection are no part of the transaction. */
  readonly owner: object;
  readonly #records: EventRecord[] = [];
  #bytes = 0;
  #isClosed = false;

  constructor(owner: object) {
    this.owner = owner;
  }

  /** @throws PublishError when the attempt has ended, or publishes more than a transaction should have */
  add(record: EventRecord): void {
    const what = `${record.type} on ${record.topic}`;
    if (this.#isClosed) {
      throw new PublishError(
        `${what}: the handler has ended, and its transaction with it; await what it publishes before it returns`,
        false,
      );
    }
    if (this.#records.length >= outputRecordsMax || this.#bytes + record.body.length > outputBytesMax) {
      throw new PublishError(
        `${what}: the handler of one event publishes more than ${outputRecordsMax} events or ${outputBytesMax} bytes, which is too much for a transaction; publish fewer, or subscribe without transactions`,
        false,
      );
    }
    this.#records.push(record);
    this.#bytes += record.body.length;
  }

  /** It turned out that it cannot be published. */
  remove(record: EventRecord): void {
    const index = this.#records.indexOf(record);
    if (index < 0) return;
    this.#records.splice(index, 1);
    this.#bytes -= record.body.length;
  }

  /** The attempt has ended. @returns what it has published */
  close(): readonly EventRecord[] {
    this.#isClosed = true;
    return this.#records;
  }
}

/** Of the attempt that is running. */
export const handlerOutputs = contextKey<HandlerOutputs>("events.outputs");
