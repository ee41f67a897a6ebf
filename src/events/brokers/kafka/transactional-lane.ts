import { LogLane, type LogLaneOptions, type LogRecord } from "../../log/index.ts";
import type { EventRecord } from "../../record.ts";
import type { OutgoingRecord } from "./batch-writer.ts";
import { laneOutputBytesMax, transactionalWindowMax } from "./limits.ts";
import { outgoingEvent } from "./records.ts";

/** What handling one record has brought forth. */
export interface SourceOutputs {
  readonly source: LogRecord;
  /** In the order in which they were published. */
  outputs: readonly OutgoingRecord[];
  /** They were refused before, and this is the dead letter of their source. */
  isLetter: boolean;
}

/**
 * A lane whose records bring forth others, which are published in the transaction that commits past them: neither before,
 * or a crash would bring them twice, nor after, or it would lose them. So outputs wait here until the watermark is beyond
 * their source. Bounded: a lane with too much waiting takes no further records.
 */
export class TransactionalLane extends LogLane {
  readonly #wallMs: () => number;
  readonly #held = new Map<number, SourceOutputs>();
  /** Moves of records that are about to be settled: another attempt later, a dead letter. */
  readonly #moves = new Map<LogRecord, { readonly outgoing: OutgoingRecord; readonly isLetter: boolean }>();
  readonly #framed: (record: EventRecord) => EventRecord;
  #bytes = 0;

  /** @param framed what is published, as it goes over the wire */
  constructor(options: LogLaneOptions, framed: (record: EventRecord) => EventRecord) {
    super({ ...options, windowRecordsMax: transactionalWindowMax });
    this.#framed = framed;
    this.#wallMs = () => options.clock.wall();
  }

  override get room(): number {
    return this.isFull ? 0 : super.room;
  }

  get isFull(): boolean {
    return this.#bytes >= laneOutputBytesMax;
  }

  settleWith(record: LogRecord, outputs: readonly EventRecord[]): void {
    if (!this.isClosed && outputs.length > 0) {
      const nowMs = Math.floor(this.#wallMs());
      this.#hold({
        source: record,
        outputs: outputs.map(one => outgoingEvent(this.#framed(one), nowMs)),
        isLetter: false,
      });
    }
    super.settle(record);
  }

  override settle(record: LogRecord): void {
    const move = this.#moves.get(record);
    this.#moves.delete(record);
    if (move !== undefined && !this.isClosed) {
      this.#hold({ source: record, outputs: [move.outgoing], isLetter: move.isLetter });
    }
    super.settle(record);
  }

  /** The record leaves for another topic, with the transaction that commits past it. It is settled next. */
  move(record: LogRecord, outgoing: OutgoingRecord, isLetter: boolean): void {
    if (!this.isClosed) this.#moves.set(record, { outgoing, isLetter });
  }

  /** What belongs into a commit of this offset, in the order of the log. */
  outputsBelow(offset: number): readonly SourceOutputs[] {
    const below = [...this.#held.values()].filter(({ source }) => source.offset < offset);
    return below.sort((one, other) => one.source.offset - other.source.offset);
  }

  /** They are durable. @returns whether the lane has room again because of it */
  forgetBelow(offset: number): boolean {
    const wasFull = this.isFull;
    for (const [at, { outputs }] of this.#held) {
      if (at >= offset) continue;
      this.#held.delete(at);
      this.#bytes -= bytesOf(outputs);
    }
    return wasFull && !this.isFull;
  }

  /** The outputs of a record will never be taken: its dead letter goes in their place. */
  replace(held: SourceOutputs, letter: OutgoingRecord): void {
    this.#bytes += bytesOf([letter]) - bytesOf(held.outputs);
    held.outputs = [letter];
    held.isLetter = true;
  }

  override lose(): void {
    this.#held.clear();
    this.#moves.clear();
    super.lose();
  }

  #hold(held: SourceOutputs): void {
    this.#held.set(held.source.offset, held);
    this.#bytes += bytesOf(held.outputs);
  }
}

function bytesOf(outputs: readonly OutgoingRecord[]): number {
  let bytes = 0;
  for (const { value } of outputs) bytes += 200 + (value?.length ?? 0);
  return bytes;
}
