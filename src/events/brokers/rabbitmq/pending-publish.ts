import type { PublishFailure } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import type { AmqpDelivery, AmqpMessage } from "./amqp.ts";

/** A message from `send` to its outcome. */
export interface Pending {
  readonly message: AmqpMessage;
  readonly batch: Batch;
  readonly index: number;
  readonly deadlineMs: number;
  /** Set by a return, which comes before the confirmation. */
  returned: PublishFailure | undefined;
  isSettled: boolean;
}

/** Messages that were sent by one call, which waits for all of them. */
export interface Batch {
  readonly outcomes: (PublishFailure | undefined)[];
  left: number;
  readonly resolve: (outcomes: readonly (PublishFailure | undefined)[]) => void;
}

/** The body, and about what headers and bookkeeping take. */
export function costBytes(message: AmqpMessage): number {
  return message.body.length + 512;
}

export function failure(text: string, isRetryable: boolean, cause?: unknown): PublishFailure {
  return { isRetryable, error: new PublishError(`RabbitMQ: ${text}`, isRetryable, { cause }) };
}

/** A message that no queue is bound for. Retryable: the same passes as soon as somebody has subscribed. */
export function unroutable({ exchange, routingKey }: AmqpDelivery, reason: string): PublishFailure {
  if (exchange === "") {
    return { ...failure(`there is no queue "${routingKey}" (${reason})`, true), isUnroutable: true };
  }
  const nobody = failure(
    `no queue is bound to the exchange "${exchange}" for "${routingKey}" (${reason}): start a subscriber, or say ` +
      "mandatory=false in the URL if events that nobody waits for may be dropped",
    true,
  );
  return { ...nobody, isUnroutable: true };
}

/** Whether a returned message may be the one that was sent; equal ones have the same outcome. */
export function isReturnOf(sent: AmqpMessage, returned: AmqpDelivery): boolean {
  return (
    sent.isMandatory &&
    sent.exchange === returned.exchange &&
    sent.routingKey === returned.routingKey &&
    sent.properties.messageId === returned.properties.messageId
  );
}
