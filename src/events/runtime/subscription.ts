import { type Observer, outsideContext } from "../../platform/index.ts";
import type { DrainOptions, Subscription, SubscriptionStats } from "../broker.ts";
import type { DriverSubscription } from "../driver.ts";
import type { Consumer } from "./consumer.ts";
import { afterAbortMs, drainTimeoutMs } from "./limits.ts";
import type { SubscriptionFailed } from "./observed.ts";

/** A consumer together with the driver's half of its subscription, from the first record to the end of the drain. */
export class RunningSubscription implements Subscription {
  readonly group: string;
  readonly ended: Promise<void>;
  readonly #consumer: Consumer;
  readonly #driver: DriverSubscription;
  readonly #observer: Observer;
  readonly #onEnded: (subscription: RunningSubscription) => void;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #draining: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(
    group: string,
    consumer: Consumer,
    driver: DriverSubscription,
    observer: Observer,
    onEnded: (subscription: RunningSubscription) => void,
  ) {
    this.group = group;
    this.#consumer = consumer;
    this.#driver = driver;
    this.#observer = observer;
    this.#onEnded = onEnded;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever listens gets the failure; the observer and the broker's status tell it to those who do not.
    this.ended.catch(() => {});
  }

  /** Why it could not go on. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  stats(): SubscriptionStats {
    return this.#consumer.stats();
  }

  drain(options: DrainOptions = {}): Promise<void> {
    this.#draining ??= outsideContext(() => this.#drain(options.timeoutMs ?? drainTimeoutMs));
    return this.#draining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  /** The driver cannot go on. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const event: SubscriptionFailed = { type: "events.subscription.failed", group: this.group, error };
    this.#observer.emit(event);
    // What runs ends in its own time; nothing new begins. The failure is told already: a drain that fails too adds nothing.
    this.drain().catch(() => {});
  }

  async #drain(timeoutMs: number): Promise<void> {
    this.#consumer.stop();
    try {
      await this.#driver.stop();
      if (!(await this.#consumer.idle(timeoutMs))) {
        this.#consumer.abort(new Error("the subscription drains, and its time is over"));
        await this.#consumer.idle(afterAbortMs);
      }
      await this.#driver.close();
    } catch (error) {
      this.#failure ??= error as Error;
      throw error;
    } finally {
      this.#onEnded(this);
      if (this.#failure === undefined) this.#resolve();
      else this.#reject(this.#failure);
    }
  }
}
