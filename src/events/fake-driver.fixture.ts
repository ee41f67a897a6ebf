import type { DeadLetter, DeadLetterStore } from "./dead-letter.ts";
import type {
  BrokerCapabilities,
  BrokerDriver,
  DriverSubscription,
  GroupStatus,
  PublishFailure,
  RecordSink,
  SubscriptionDemand,
} from "./driver.ts";
import type { EventRecord, StoredRecord } from "./record.ts";
import { FakeSubscription } from "./runtime/fake-lane.fixture.ts";

/** A batch that the driver was given and has not answered. */
export interface FakeBatch {
  readonly records: readonly EventRecord[];
  /** Answers: all durable, or these failures at these indices. */
  answer(failures?: Readonly<Record<number, PublishFailure>>): void;
  reject(error: Error): void;
}

/** A driver that does nothing until the test says so. */
export class FakeDriver implements BrokerDriver {
  readonly name: string;
  readonly capabilities: BrokerCapabilities;
  readonly batches: FakeBatch[] = [];
  readonly prepared: (readonly string[])[] = [];
  readonly demands: SubscriptionDemand[] = [];
  readonly subscription = new FakeSubscription();
  readonly letters: DeadLetter[] = [];
  sink: RecordSink | undefined;
  /** Answers every batch at once. */
  answersItself = false;
  preparing: (() => Promise<void>) | undefined;
  isClosed = false;

  constructor(capabilities: Partial<BrokerCapabilities> = {}, name = "fake") {
    this.name = name;
    this.capabilities = {
      delay: "native",
      replay: true,
      transactions: false,
      order: "key",
      bodyBytesMax: 1_000_000,
      ...capabilities,
    };
  }

  publish(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    if (this.answersItself) return Promise.resolve(records.map(() => undefined));
    return new Promise((resolve, reject) => {
      const batch: FakeBatch = {
        records,
        answer: (failures = {}) => {
          this.batches.splice(this.batches.indexOf(batch), 1);
          resolve(records.map((_record, index) => failures[index]));
        },
        reject,
      };
      this.batches.push(batch);
    });
  }

  async prepare(topics: readonly string[]): Promise<void> {
    this.prepared.push(topics);
    await this.preparing?.();
  }

  async subscribe(demand: SubscriptionDemand, sink: RecordSink): Promise<DriverSubscription> {
    this.demands.push(demand);
    this.sink = sink;
    return this.subscription;
  }

  readonly deadLetters: DeadLetterStore = {
    list: () => listed(this.letters),
    replay: async letter => void this.letters.splice(this.letters.indexOf(letter), 1),
    discard: async letter => void this.letters.splice(this.letters.indexOf(letter), 1),
    edit: async (letter, change) => ({ ...letter, key: change.key ?? letter.key }),
  };

  async groups(): Promise<readonly GroupStatus[]> {
    return [];
  }

  async *tail(): AsyncGenerator<StoredRecord, void, undefined> {}

  status(): { readonly isReady: boolean; readonly detail: string } {
    return { isReady: true, detail: "fake" };
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function* listed(letters: readonly DeadLetter[]): AsyncGenerator<DeadLetter, void, undefined> {
  yield* letters;
}
