import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BodyStream } from "./body-stream.ts";

function world() {
  const told = { consumed: 0, over: [] as string[] };
  const body = new BodyStream({
    consumed: bytes => {
      told.consumed += bytes;
    },
    over: (isComplete, dropped) => told.over.push(`${isComplete ? "complete" : "let go of"} ${dropped}`),
  });
  return { body, told };
}

test("the source hears of what is taken when it is taken, and of the end once", async () => {
  const { body, told } = world();
  const reader = body.stream.getReader();
  body.data(Buffer.from("abcdef"), 1, 4);
  body.data(Buffer.from("gh"), 0, 2);
  await Promise.resolve();
  assert.equal(told.consumed, 0);
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "bcd");
  assert.equal(told.consumed, 3);
  body.complete();
  assert.deepEqual([body.isComplete, body.isOver, told.over], [true, false, []]);
  assert.equal((await reader.read()).value?.length, 2);
  assert.deepEqual(
    [await reader.read(), told],
    [
      { done: true, value: undefined },
      { consumed: 5, over: ["complete 0"] },
    ],
  );
  assert.deepEqual([body.discard(), body.fail(new Error("late")), told.over.length], [0, 0, 1]);
});

test("a reader that lets go drops what waits", async () => {
  const { body, told } = world();
  body.data(Buffer.from("abc"), 0, 3);
  await body.stream.cancel();
  assert.deepEqual([body.isOver, told], [true, { consumed: 0, over: ["let go of 3"] }]);
});

test("an error reaches the reader at once, and the source is told by what it gets back only", async () => {
  const { body, told } = world();
  const read = assert.rejects(body.stream.getReader().read(), /lost/);
  assert.equal(body.fail(new Error("lost")), 0);
  await read;
  const other = world();
  other.body.data(Buffer.from("abc"), 0, 3);
  assert.equal(other.body.fail(new Error("lost")), 3);
  await assert.rejects(new Response(other.body.stream).text(), /lost/);
  assert.deepEqual(
    [told, other.told].flatMap(({ over }) => over),
    [],
  );
});

test("in whatever order things happen, bytes come out as they came, each is consumed or dropped once, and nothing comes after the end", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("data" as const), bytes: fc.integer({ min: 1, max: 50 }) }),
    fc.record({ kind: fc.constantFrom("read" as const, "complete" as const) }),
    fc.record({ kind: fc.constantFrom("cancel" as const, "fail" as const, "discard" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
      const { body, told } = world();
      const reader = body.stream.getReader();
      const came: number[] = [];
      const read: Uint8Array[] = [];
      let droppedBy = 0;
      let next = 0;
      const pending: Promise<unknown>[] = [];
      for (const one of steps) {
        if (one.kind === "data") {
          if (body.isOver || body.isComplete) continue;
          const bytes = Array.from({ length: one.bytes }, () => next++ % 256);
          came.push(...bytes);
          body.data(Uint8Array.from(bytes), 0, bytes.length);
        } else if (one.kind === "read") {
          pending.push(
            reader.read().then(
              ({ value }) => value !== undefined && read.push(value),
              () => {},
            ),
          );
        } else if (one.kind === "complete") body.complete();
        else if (one.kind === "cancel") await reader.cancel().catch(() => {});
        else if (one.kind === "fail") droppedBy += body.fail(new Error("lost"));
        else droppedBy += body.discard();
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      }
      const bytes = Buffer.concat(read);
      assert.deepEqual([...bytes], came.slice(0, bytes.length));
      assert.equal(told.consumed, bytes.length);
      assert(told.over.length <= 1);
      if (!body.isOver) return;
      const dropped = droppedBy + Number(told.over[0]?.split(" ").at(-1) ?? 0);
      assert.equal(told.consumed + dropped, came.length);
    }),
  );
});
