import { randomUUID } from "node:crypto";
import amqp from "amqplib";
import {
  contractOf,
  type EventsSample,
  type EventsTask,
  measuredOf,
  rawEvent,
  runEvents,
  Stretch,
} from "../protocol/events.ts";

/** Publishes with confirms, pipelined: writes until the channel's buffer is full, then goes on when it has drained. */
async function publishAll(channel: amqp.ConfirmChannel, exchange: string, count: number): Promise<void> {
  for (let number = 0; number < count; number++) {
    const { key, body, time } = rawEvent(number);
    const id = randomUUID();
    const headers = {
      cloudEvents_specversion: "1.0",
      cloudEvents_id: id,
      cloudEvents_source: "/bench",
      cloudEvents_type: "ledger.placed",
      cloudEvents_time: time,
      cloudEvents_subject: key,
    };
    const options = { persistent: true, mandatory: true, contentType: "application/json", messageId: id, headers };
    const hasRoom = channel.publish(exchange, "ledger.placed", Buffer.from(body), options);
    if (!hasRoom) await new Promise(resolve => channel.once("drain", resolve));
  }
  await channel.waitForConfirms();
}

async function open(task: EventsTask) {
  const connection = await amqp.connect(task.url);
  const channel = await connection.createConfirmChannel();
  const exchange = contractOf(task).topic;
  await channel.assertExchange(exchange, "topic", { durable: true });
  await channel.assertQueue(task.name, { durable: true });
  await channel.bindQueue(task.name, exchange, "ledger.placed");
  return { channel, exchange };
}

async function publish(task: EventsTask): Promise<EventsSample> {
  const { channel, exchange } = await open(task);
  await publishAll(channel, exchange, Math.min(task.events, 5_000));
  const stretch = new Stretch();
  stretch.begin();
  await publishAll(channel, exchange, task.events);
  return stretch.end(task.events);
}

async function consume(task: EventsTask): Promise<EventsSample> {
  const { channel, exchange } = await open(task);
  await publishAll(channel, exchange, task.events);
  await channel.prefetch(300);
  const stretch = new Stretch();
  const measured = measuredOf(task);
  let left = task.events;
  const { promise, resolve } = Promise.withResolvers<EventsSample>();
  await channel.consume(task.name, message => {
    if (message === null) return;
    if (left <= measured) stretch.begin();
    if (JSON.parse(message.content.toString()).account === "") throw new Error("not ours");
    left--;
    // Many at a time, as its documentation advises.
    if (left % 100 === 0) channel.ack(message, true);
    if (left === 0) resolve(stretch.end(measured));
  });
  return promise;
}

await runEvents({ "rabbitmq-publish": publish, "rabbitmq-consume": consume });
