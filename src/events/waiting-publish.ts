import type { Published } from "./broker.ts";
import type { PendingRecord, Publisher, PublishListener } from "./publisher.ts";

/** The promise of one publish. */
export class WaitingPublish implements PublishListener {
  readonly #resolve: (published: Published) => void;
  readonly #reject: (reason: unknown) => void;
  #stopListening: (() => void) | undefined;

  constructor(resolve: (published: Published) => void, reject: (reason: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  published({ record }: PendingRecord): void {
    this.#stopListening?.();
    this.#resolve({ id: record.id });
  }

  failed(_pending: PendingRecord, error: Error): void {
    this.#stopListening?.();
    this.#reject(error);
  }

  /** The caller waits no longer than the signal lets it; the record may have left all the same. */
  giveUpOn(signal: AbortSignal, publisher: Publisher, pending: PendingRecord): void {
    const giveUp = () => {
      publisher.giveUp(pending);
      this.#reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", giveUp);
  }
}
