import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createServer, type Handlers, implement } from "trunkline";
import { virtualPlatform } from "trunkline/testing";
import { Streams } from "../gen/transcoding/v1/transcoding_pb.ts";

type Count = Handlers<typeof Streams>["count"];

/** What comes back for a GET in virtual time, on a network that exists in this process. */
async function get(count: Count, fields: readonly string[] = []) {
  const platform = virtualPlatform();
  const server = createServer({ services: [implement(Streams, { count } as never)], platform });
  after(() => server.close());
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const serverTimers = platform.clock.pendingTimers;
  const stream = await platform.network.connect({ host: "127.0.0.1", port });
  const received: string[] = [];
  stream.handler = {
    data: chunk => void received.push(chunk.toString("latin1")),
    drained() {},
    ended() {},
    closed() {},
  };
  const idleTimers = platform.clock.pendingTimers;
  const head = ["GET /s/count/3 HTTP/1.1", "host: a", ...fields];
  stream.write(Buffer.from(`${head.join("\r\n")}\r\n\r\n`));
  const { clock } = platform;
  return { clock, stream, serverTimers, idleTimers, take: () => received.splice(0).join("") };
}

const events = ["accept: text/event-stream"];

/** A stream that says something when it is told to, and ends. */
function spoken() {
  let speak: (value: unknown) => void = () => {};
  const count: Count = async function* () {
    await new Promise(resolve => {
      speak = resolve;
    });
    yield { itemNumber: 1 };
  };
  return { count, speak: () => speak(undefined) };
}

test("a stream that is silent to begin with sends its head after a second", async () => {
  const { count, speak } = spoken();
  const { clock, take } = await get(count);
  await clock.advance(999);
  assert.equal(take(), "");
  await clock.advance(1);
  const head = take();
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(head, /content-type: application\/x-ndjson\r\n/);
  speak();
  await clock.settle();
  assert.match(take(), /\{"item_number":1\}\n/);
});

test("lines have no heartbeat: an empty line would be one", async () => {
  const { clock, take } = await get(spoken().count);
  await clock.advance(1_000);
  take();
  await clock.advance(120_000);
  assert.equal(take(), "");
});

test("a stream of events sends a comment every 15 s, and its messages between", async () => {
  const { count, speak } = spoken();
  const { clock, take } = await get(count, events);
  await clock.advance(1_000);
  assert.match(take(), /content-type: text\/event-stream\r\n/);
  await clock.advance(14_999);
  assert.equal(take(), "");
  await clock.advance(1);
  assert.equal(take(), "3\r\n:\n\n\r\n");
  await clock.advance(30_000);
  assert.equal(take(), "3\r\n:\n\n\r\n".repeat(2));
  speak();
  await clock.settle();
  assert.match(take(), /id: 1\ndata: \{"item_number":1\}\n\n/);
});

test("after its end, or the caller's, a stream keeps no timer", async () => {
  const { count, speak } = spoken();
  const whole = await get(count, events);
  await whole.clock.advance(20_000);
  speak();
  await whole.clock.settle();
  assert.equal(whole.clock.pendingTimers, whole.idleTimers);

  const cut = await get(spoken().count, events);
  await cut.clock.advance(20_000);
  cut.stream.destroy();
  await cut.clock.settle();
  assert.equal(cut.clock.pendingTimers, cut.serverTimers);
});

test("headers that cannot be sent are an internal error also when the head goes out by the clock", async () => {
  const { clock, take } = await get(async function* (_request, call) {
    call.responseHeaders.set("transfer-encoding", "chunked");
    await new Promise(() => {});
    yield {};
  }, events);
  await clock.advance(1_000);
  const answer = take();
  assert.match(answer, /^HTTP\/1\.1 500 /);
  assert.match(answer, /"code":"internal"/);
});

test("Last-Event-ID reaches the handler, which alone knows where to go on, and the numbers go on from it", async () => {
  const { clock, take } = await get(
    async function* (_request, call) {
      yield { note: `after ${String(call.metadata.get("last-event-id"))}` };
    },
    [...events, "last-event-id: 41"],
  );
  await clock.settle();
  assert.match(take(), /id: 42\ndata: \{"note":"after 41"\}/);
});

for (const id of ["x", "-1", "1.5", "9".repeat(16), ""]) {
  test(`the Last-Event-ID "${id}" is none of ours: numbers begin at 1`, async () => {
    const { clock, take } = await get(
      async function* () {
        yield {};
      },
      [...events, `last-event-id: ${id}`],
    );
    await clock.settle();
    assert.match(take(), /id: 1\n/);
  });
}
