import type { HeldLetter } from "./broker.ts";
import type { DeadLetter, DeadLetterEdit, DeadLetterReason, DeadLetterStore } from "./dead-letter.ts";
import { BrokerError } from "./errors.ts";
import type { EventAttributes } from "./record.ts";

/** A dead letter together with the store that has it. */
export class LetterInHand implements HeldLetter {
  readonly letterId: string;
  readonly group: string;
  readonly topic: string;
  readonly key: string | undefined;
  readonly attributes: Readonly<Partial<EventAttributes>>;
  readonly body: Uint8Array;
  readonly reason: DeadLetterReason;
  readonly exception: string | undefined;
  readonly attempts: number;
  readonly firstFailedAtMs: number | undefined;
  readonly diedAtMs: number;
  readonly place: string;
  readonly consumer: string;
  readonly contract: string | undefined;
  readonly #letter: DeadLetter;
  readonly #store: DeadLetterStore;

  constructor(letter: DeadLetter, store: DeadLetterStore) {
    this.letterId = letter.letterId;
    this.group = letter.group;
    this.topic = letter.topic;
    this.key = letter.key;
    this.attributes = letter.attributes;
    this.body = letter.body;
    this.reason = letter.reason;
    this.exception = letter.exception;
    this.attempts = letter.attempts;
    this.firstFailedAtMs = letter.firstFailedAtMs;
    this.diedAtMs = letter.diedAtMs;
    this.place = letter.place;
    this.consumer = letter.consumer;
    this.contract = letter.contract;
    this.#letter = letter;
    this.#store = store;
  }

  async replay({ dryRun = false }: { readonly dryRun?: boolean | undefined } = {}): Promise<void> {
    if (!dryRun) {
      await this.#store.replay(this.#letter);
      return;
    }
    const filter = { group: this.group, letterIds: [this.letterId], limit: 1 };
    for await (const _letter of this.#store.list(filter)) return;
    throw new BrokerError(`the dead letter ${this.letterId} of ${this.group} is not there any more`);
  }

  discard(): Promise<void> {
    return this.#store.discard(this.#letter);
  }

  async edit(change: DeadLetterEdit): Promise<HeldLetter> {
    return new LetterInHand(await this.#store.edit(this.#letter, change), this.#store);
  }
}
