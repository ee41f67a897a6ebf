import type { Clock } from "../platform/index.ts";

/** Who hears of changes. A listener that throws disturbs neither the others nor what has changed. */
export class ChangeListeners<Change> {
  readonly #clock: Clock;
  readonly #listeners = new Set<{ readonly hear: (change: Change) => void }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns a function that ends the subscription */
  add(hear: (change: Change) => void): () => void {
    const entry = { hear };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  tell(change: Change): void {
    for (const { hear } of [...this.#listeners]) {
      try {
        hear(change);
      } catch (error) {
        // As with EventTarget: the mistake reaches the process, not the work that happened to cause the change.
        this.#clock.endOfTurn(() => {
          throw error;
        });
      }
    }
  }
}
