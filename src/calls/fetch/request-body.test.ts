import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ExchangeError, type ServerExchange } from "../../wire/index.ts";
import { BodyTooLargeError, RequestBody } from "./request-body.ts";

/** What a body asks of its exchange. */
function fakeExchange() {
  const told = { consumed: 0, resets: [] as string[] };
  const exchange = {
    consumed: (bytes: number) => {
      told.consumed += bytes;
    },
    reset: (reason: string) => told.resets.push(reason),
  } as unknown as ServerExchange;
  return { told, exchange };
}

const piece = (bytes: number) => Buffer.alloc(bytes, "x");

test("what the handler has not read is not paid for, so that the peer's window closes", async () => {
  const { told, exchange } = fakeExchange();
  const body = new RequestBody(exchange, 1_000);
  const reader = body.stream.getReader();
  body.data(piece(100), 0, 100);
  body.data(piece(100), 20, 70);
  await Promise.resolve();
  assert.equal(told.consumed, 0);
  assert.equal((await reader.read()).value?.length, 100);
  assert.equal(told.consumed, 100);
  assert.equal((await reader.read()).value?.length, 50);
  assert.equal(told.consumed, 150);
  body.ended();
  assert.equal((await reader.read()).done, true);
});

test("the bytes outlive the connection's buffer", async () => {
  const { exchange } = fakeExchange();
  const body = new RequestBody(exchange, 1_000);
  const buffer = piece(4);
  body.data(buffer, 0, 4);
  buffer.fill("y");
  body.ended();
  assert.equal(await new Response(body.stream).text(), "xxxx");
});

test("a body over the limit fails its stream and passes unread", async () => {
  const { told, exchange } = fakeExchange();
  const body = new RequestBody(exchange, 150);
  const text = new Response(body.stream).text();
  body.data(piece(100), 0, 100);
  body.data(piece(100), 0, 100);
  body.data(piece(100), 0, 100);
  await assert.rejects(text, error => error instanceof BodyTooLargeError);
  assert(body.isTooLarge);
  assert.equal(told.consumed, 300);
});

test("a caller that leaves aborts the signal and fails the stream, and is let go of when the handler is done", async () => {
  const { told, exchange } = fakeExchange();
  const body = new RequestBody(exchange, 1_000);
  const error = new ExchangeError("reset", "cancelled");
  body.data(piece(10), 0, 10);
  body.aborted(error);
  assert.equal(body.signal.reason, error);
  await assert.rejects(new Response(body.stream).text(), cause => cause === error);
  assert.deepEqual(told.resets, []);
  body.finish();
  assert.deepEqual(told.resets, ["no_error"]);
});

test("a body that came whole can be read after its caller has left", async () => {
  const { exchange } = fakeExchange();
  const body = new RequestBody(exchange, 1_000);
  body.data(piece(3), 0, 3);
  body.ended();
  body.aborted(new ExchangeError("connection", "gone"));
  assert.equal(await new Response(body.stream).text(), "xxx");
});

test("every byte is paid once, whatever is read, left, cancelled or too much", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("data" as const), bytes: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ kind: fc.constantFrom("read" as const, "cancel" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, ends) => {
      const { told, exchange } = fakeExchange();
      const body = new RequestBody(exchange, 300);
      const reader = body.stream.getReader();
      let given = 0;
      for (const action of steps) {
        if (action.kind === "data") {
          given += action.bytes;
          body.data(piece(action.bytes), 0, action.bytes);
        } else if (action.kind === "read") reader.read().catch(() => {});
        else reader.cancel().catch(() => {});
        await Promise.resolve();
        assert(told.consumed <= given);
      }
      if (ends) body.ended();
      body.finish();
      assert.equal(told.consumed, given);
      assert.deepEqual(told.resets, []);
    }),
  );
});
