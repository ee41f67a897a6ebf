/** A broker cannot do what is asked of it; the message names the broker, what is missing and what to do. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
}

/** An event is not durable. `isRetryable` tells whether publishing the same again may succeed. */
export class PublishError extends Error {
  override readonly name = "PublishError";
  readonly isRetryable: boolean;

  constructor(message: string, isRetryable: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isRetryable = isRetryable;
  }
}

/** Thrown by a handler: the event cannot be handled, now or later. It becomes a dead letter at once. */
export class Discard extends Error {
  override readonly name = "Discard";
}

/** Thrown by a handler: try again, not before `delayMs` milliseconds. It counts as an attempt. */
export class RetryLater extends Error {
  override readonly name = "RetryLater";
  readonly delayMs: number;

  /** @throws RangeError unless `delayMs` is a number from 0 to a day */
  constructor(delayMs: number, reason = "the handler asked for another attempt", options?: ErrorOptions) {
    super(reason, options);
    if (!(delayMs >= 0 && delayMs <= retryLaterMsMax)) {
      throw new RangeError(`RetryLater: delayMs is ${delayMs}; it must be from 0 to ${retryLaterMsMax}`);
    }
    this.delayMs = delayMs;
  }
}

/** A day: longer waits belong into a scheduled publish. */
const retryLaterMsMax = 86_400_000;
