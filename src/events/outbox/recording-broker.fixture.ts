import type { DescMessage } from "@bufbuild/protobuf";
import type { PublishOptions } from "../broker.ts";
import type { PublishFailure } from "../driver.ts";
import type { EventRecord } from "../record.ts";
import type { OutboxOptions } from "./outbox.ts";
import type { TestEvent } from "./outbox-suite.fixture.ts";

/** A broker that remembers what it was given, and answers as told. */
export interface RecordingBroker {
  readonly encode: OutboxOptions["broker"]["encode"];
  readonly forward: OutboxOptions["broker"]["forward"];
  /** Every record that it was asked to take. */
  readonly asked: EventRecord[];
  readonly taken: EventRecord[];
  /** Calls of `forward`. */
  readonly passes: number;
  answer: (record: EventRecord) => PublishFailure | undefined;
  /** What it waits for after it has taken records, before it says so. */
  stall: Promise<void> | undefined;
}

export function recordingBroker(): RecordingBroker {
  const asked: EventRecord[] = [];
  const taken: EventRecord[] = [];
  const broker = {
    asked,
    taken,
    passes: 0,
    answer: (_record: EventRecord): PublishFailure | undefined => undefined,
    stall: undefined as Promise<void> | undefined,
    encode: <D extends DescMessage>(_schema: D, event: unknown, _options?: PublishOptions): EventRecord => {
      const { id, key, notBeforeMs, bodyBytes } = event as TestEvent;
      return {
        topic: "orders",
        key,
        id,
        source: "/tests",
        type: "order.created",
        timeMs: 1_700_000_000_000,
        contentType: "application/json",
        trace: undefined,
        priority: "default",
        expiresAtMs: undefined,
        notBeforeMs,
        replyTo: undefined,
        correlationId: undefined,
        headers: { tenant: "7" },
        body: bodyBytes === undefined ? Buffer.from(`body of ${id}`) : Buffer.alloc(bodyBytes),
      };
    },
    async forward(records: readonly EventRecord[]) {
      broker.passes++;
      asked.push(...records);
      const answers = records.map(record => broker.answer(record));
      taken.push(...records.filter((_, index) => answers[index] === undefined));
      await broker.stall;
      return answers;
    },
  };
  return broker;
}
