import { outsideContext } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import type { StoredRecord } from "../../record.ts";
import type { AmqpChannel, AmqpConnection } from "./amqp.ts";
import { explainOperation } from "./connect-error.ts";
import { connectionWaitMs, tailPrefetch, tailQueueMax } from "./limits.ts";
import { RabbitmqRecord } from "./message.ts";
import type { SupervisedConnection } from "./supervised-connection.ts";

/**
 * Reads topics by an exclusive queue that goes with its connection. After a reconnect it goes on with another queue: what was
 * published in between is not seen.
 */
export async function* tail(
  connection: SupervisedConnection,
  topics: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<StoredRecord> {
  while (!signal.aborted) {
    const current = await connection.whenUp(connectionWaitMs);
    try {
      yield* tailChannel(current, topics, signal);
    } catch (error) {
      if (signal.aborted) return;
      const isConnectionLost = connection.connection !== current;
      if (!isConnectionLost) throw explainOperation(error, `the topics ${topics.join(", ")} cannot be read`);
    }
  }
}

async function* tailChannel(
  connection: AmqpConnection,
  topics: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<StoredRecord> {
  const channel = await outsideContext(() => connection.channel(false));
  const received: RabbitmqRecord[] = [];
  let wake: (() => void) | undefined;
  let end: Error | undefined;
  const stop = (error: Error | undefined) => {
    end ??= error ?? new BrokerError("RabbitMQ: the channel was closed");
    wake?.();
  };
  channel.handler = { closed: stop, confirmed() {}, returned() {} };
  const aborted = () => wake?.();
  signal.addEventListener("abort", aborted);
  try {
    const queue = await declareTailQueue(channel, topics);
    await channel.consume(queue, { isExclusive: true }, delivery => {
      if (delivery === undefined) return stop(undefined);
      received.push(new RabbitmqRecord(delivery, queue));
      wake?.();
    });
    while (!signal.aborted) {
      const record = received.shift();
      if (record !== undefined) {
        channel.ack(record.delivery.tag, false);
        yield record;
        continue;
      }
      if (end !== undefined) throw end;
      await new Promise<void>(resolve => {
        wake = resolve;
      });
      wake = undefined;
    }
  } finally {
    signal.removeEventListener("abort", aborted);
    await channel.close();
  }
}

async function declareTailQueue(channel: AmqpChannel, topics: readonly string[]): Promise<string> {
  const { queue } = await channel.declareQueue("", {
    isDurable: false,
    isExclusive: true,
    args: { "x-max-length": tailQueueMax, "x-overflow": "drop-head" },
  });
  for (const topic of topics) await channel.bindQueue(queue, topic, "#");
  await channel.prefetch(tailPrefetch);
  return queue;
}
