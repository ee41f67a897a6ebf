import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../../platform/index.ts";
import { byteStreamPair, SeededRandom, VirtualClock } from "../../platform/virtual/index.ts";
import { type ExchangeError, HeaderField, type ResponseReceiver, type ServerExchange } from "../exchange.ts";
import { Http1ClientConnection } from "./client-connection.ts";
import { Http1ServerConnection } from "./server-connection.ts";

/** Sends a request's body back as it comes, and stops paying for input while its own output is full. */
function echoStreaming(exchange: ServerExchange): void {
  let owed = 0;
  exchange.receiver = {
    data(chunk, start, end) {
      exchange.sendData(Buffer.from(chunk.subarray(start, end)), false);
      owed += end - start;
      if (exchange.isWritable) pay();
    },
    ended: () => exchange.sendTrailers([new HeaderField("x-end", "yes")]),
    aborted() {},
    writable: pay,
  };
  exchange.sendHead(200, [], false);

  function pay(): void {
    const bytes = owed;
    owed = 0;
    if (bytes > 0) exchange.consumed(bytes);
  }
}

interface Sent {
  readonly pieces: readonly number[];
  readonly isLengthKnown: boolean;
}

test("bodies of any size and cut pass through both ends unchanged, under back-pressure, on one connection", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          pieces: fc.array(fc.oneof(fc.nat(50), fc.nat(5_000), fc.nat(80_000)), { maxLength: 6 }),
          isLengthKnown: fc.boolean(),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      fc.integer({ min: 700, max: 70_000 }),
      fc.integer(),
      async (requests, chunkBytesMax, seed) => {
        const clock = new VirtualClock();
        const random = new SeededRandom(seed);
        const pair = byteStreamPair(clock, { chunkBytesMax: chunkBytesMax });
        const [clientStream, serverStream] = [pair.client, pair.server];
        const server = new Http1ServerConnection({
          stream: serverStream,
          clock,
          observer: silentObserver,
          handler: { request: echoStreaming, closed() {} },
          scheme: "http",
        });
        serverStream.handler = server;
        server.start();
        const client = new Http1ClientConnection({
          stream: clientStream,
          clock,
          observer: silentObserver,
          handler: { capacityChanged() {}, draining() {}, closed() {} },
        });
        clientStream.handler = client;
        client.start();
        for (const request of requests) await roundTrip(client, clock, random, request);
        client.destroy();
        await clock.advance(5); // the last payments of `receiver` too
        assert.equal(server.isClosed, true);
        assert.equal(clock.pendingTimers, 0);
      },
    ),
    { numRuns: 30 },
  );
});

async function roundTrip(
  client: Http1ClientConnection,
  clock: VirtualClock,
  random: SeededRandom,
  sent: Sent,
): Promise<void> {
  const bodies = sent.pieces.map(size => Buffer.from(random.bytes(size)));
  const whole = Buffer.concat(bodies);
  const received: Buffer[] = [];
  let trailer: string | undefined;
  let error: ExchangeError | undefined;
  let next = 0;
  const receiver: ResponseReceiver = {
    head: status => assert.equal(status, 200),
    data(chunk, start, end) {
      received.push(Buffer.from(chunk.subarray(start, end)));
      // Paid late, so that reading stops now and then.
      clock.after(1, () => exchange.consumed(end - start));
    },
    ended(trailers) {
      trailer = trailers?.get("x-end");
    },
    aborted(reason) {
      error = reason;
    },
    writable: send,
  };
  const field = (name: string, value: string): HeaderField => new HeaderField(name, value);
  const exchange = client.request(
    {
      method: field(":method", "POST"),
      scheme: field(":scheme", "http"),
      authority: field(":authority", "shop"),
      path: field(":path", "/echo"),
      contentLength: sent.isLengthKnown ? whole.length : undefined,
    },
    [],
    receiver,
    false,
  );
  send();
  for (let turn = 0; turn < 2_000 && !exchange.isClosed; turn++) await clock.advance(5);
  assert.equal(error, undefined);
  assert.equal(exchange.isClosed, true);
  assert.equal(trailer, "yes");
  assert.ok(Buffer.concat(received).equals(whole));
  assert.equal(client.capacity, 1);

  function send(): void {
    while (next < bodies.length && exchange.isWritable) exchange.sendData(bodies[next++]!, false);
    if (next === bodies.length) {
      next++;
      exchange.sendTrailers([]);
    }
  }
}
