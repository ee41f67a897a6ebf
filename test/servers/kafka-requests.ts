import { once } from "node:events";
import type { Socket } from "node:net";

/** As much of Kafka's protocol as the tests of this folder need, written out by hand: they judge a server, not our client. */

export const unknownTopic = 3;
export const topicAuthorizationFailed = 29;
export const unsupportedMechanism = 33;

const metadata = 3;
const saslHandshake = 17;
const createTopics = 19;
const saslAuthenticate = 36;

const int16 = (value: number) => Buffer.of((value >> 8) & 0xff, value & 0xff);
const int32 = (value: number) => Buffer.concat([int16(value >> 16), int16(value)]);
const text = (value: string) => Buffer.concat([int16(value.length), Buffer.from(value)]);

/** One request and its answer, without the answer's length and correlation id. */
async function ask(socket: Socket, key: number, version: number, ...body: Buffer[]): Promise<Buffer> {
  const request = Buffer.concat([int16(key), int16(version), int32(1), int16(-1), ...body]);
  socket.write(Buffer.concat([int32(request.length), request]));
  let answer = Buffer.alloc(0);
  while (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    answer = Buffer.concat([answer, chunk]);
  }
  return answer.subarray(8);
}

/** What Kafka says about a topic; 0 when it is there. */
export async function topicError(socket: Socket, topic: string): Promise<number> {
  const answer = await ask(socket, metadata, 1, int32(1), text(topic));
  return answer.readInt16BE(answer.indexOf(text(topic)) - 2);
}

/** With one partition; resolves with Kafka's error code. */
export async function createTopic(socket: Socket, topic: string): Promise<number> {
  const one = [text(topic), int32(1), int16(1), int32(0), int32(0)];
  const answer = await ask(socket, createTopics, 2, int32(1), ...one, int32(10_000), Buffer.of(0));
  return answer.readInt16BE(answer.indexOf(text(topic)) + text(topic).length);
}

/** Resolves with Kafka's error code. */
export async function shakeHands(socket: Socket, mechanism: string): Promise<number> {
  return (await ask(socket, saslHandshake, 1, text(mechanism))).readInt16BE(0);
}

/** Hands over one message of a SASL mechanism. */
export async function authenticate(socket: Socket, message: string): Promise<{ error: number; answer: string }> {
  const bytes = await ask(socket, saslAuthenticate, 0, int32(message.length), Buffer.from(message));
  const error = bytes.readInt16BE(0);
  // Without an error there is no error message, whose length is then -1.
  return { error, answer: error === 0 ? bytes.subarray(8).toString() : "" };
}
