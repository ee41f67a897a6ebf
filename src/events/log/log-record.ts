import type { AttemptHistory, EventAttributes, StoredRecord, WrappedMessage } from "../record.ts";

/** Of most records; shared, because they are many. */
export const noHistory: AttemptHistory = { attempts: 0, firstFailedAtMs: undefined };

/** A record of a log, with its place in it and what its lane keeps of it. */
export class LogRecord implements StoredRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  readonly body: Uint8Array;
  readonly storedAtMs: number | undefined;
  /** What the record itself carries of earlier attempts. */
  readonly carried: AttemptHistory;
  /** With what the lane knows of crashes; set when it is delivered. */
  history: AttemptHistory;
  /**
   * Not from the log but from what waits beside it for another attempt: its number there.
   */
  readonly returnedId: number | undefined;
  /** Set by the lane that delivers it. */
  lane: object | undefined = undefined;
  /** Set by whoever reads it, before it is delivered. */
  wrapped: WrappedMessage | undefined = undefined;
  ticket = -1;

  constructor(
    topic: string,
    partition: number,
    offset: number,
    key: string | undefined,
    attributes: Readonly<Partial<EventAttributes>>,
    body: Uint8Array,
    storedAtMs: number | undefined,
    carried: AttemptHistory = noHistory,
    returnedId?: number,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
    this.key = key;
    this.attributes = attributes;
    this.body = body;
    this.storedAtMs = storedAtMs;
    this.carried = carried;
    this.history = carried;
    this.returnedId = returnedId;
  }

  get place(): string {
    return `${this.topic}/${this.partition}@${this.offset}`;
  }

  get fallbackId(): string {
    return `${this.topic}/${this.partition}/${this.offset}`;
  }

  get fallbackIsSynthetic(): boolean {
    return false;
  }
}
