import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MessageQueue, PackedMessage } from "./message-queue.ts";

interface Told {
  takenBytes: number;
  stopped: number;
  finished: number;
}

function queue(): { readonly messages: MessageQueue; readonly told: Told } {
  const told: Told = { takenBytes: 0, stopped: 0, finished: 0 };
  const messages = new MessageQueue(
    bytes => (told.takenBytes += bytes),
    () => told.stopped++,
    () => told.finished++,
  );
  return { messages, told };
}

const done = { done: true, value: undefined };
const failure = new Error("the end of it");

describe("the messages of an inbound stream", () => {
  test("an error comes after what is queued, once", async () => {
    const { messages, told } = queue();
    messages.push("a", 1);
    messages.end(failure);
    assert.deepEqual(await messages.next(), { done: false, value: "a" });
    assert.equal(told.finished, 0);
    await assert.rejects(messages.next(), failure);
    assert.deepEqual(await messages.next(), done);
    assert.deepEqual(told, { takenBytes: 1, stopped: 0, finished: 1 });
  });

  test("a reader that waits is told an error once, too", async () => {
    const { messages, told } = queue();
    const waiting = messages.next();
    messages.end(failure);
    await assert.rejects(waiting, failure);
    assert.deepEqual(await messages.next(), done);
    assert.equal(told.finished, 1);
  });

  test("what is queued when the stream is aborted is not read, but paid for", async () => {
    const { messages, told } = queue();
    messages.push("a", 1);
    messages.push("b", 2);
    messages.end();
    messages.abort(failure);
    await assert.rejects(messages.next(), failure);
    assert.deepEqual(await messages.next(), done);
    assert.deepEqual(told, { takenBytes: 3, stopped: 0, finished: 1 });
  });

  test("an abort that comes when the reader knows of the end changes nothing", async () => {
    const { messages, told } = queue();
    messages.end();
    assert.deepEqual(await messages.next(), done);
    messages.abort(failure);
    assert.deepEqual(await messages.next(), done);
    assert.equal(told.finished, 1);
  });

  test("a message that does not unpack is the last one that is read", async () => {
    const { messages, told } = queue();
    messages.push(
      new PackedMessage(() => {
        throw failure;
      }),
      1,
    );
    messages.push("b", 2);
    await assert.rejects(messages.next(), failure);
    assert.deepEqual(await messages.next(), done);
    assert.deepEqual(told, { takenBytes: 3, stopped: 1, finished: 1 });
  });

  test("whatever happens, messages come in order, all bytes are paid, and the consumer is finished with once", async () => {
    const step = fc.constantFrom("push", "next", "end", "fail", "abort", "return");
    const run = async (steps: readonly string[]) => {
      const { messages, told } = queue();
      let pushed = 0;
      let isWaiting = false;
      const seen: unknown[] = [];
      for (const what of steps) {
        if (what === "push") messages.push(pushed++, 1);
        else if (what === "end") messages.end();
        else if (what === "fail") messages.end(failure);
        else if (what === "abort") messages.abort(failure);
        else if (what === "return") await messages.return();
        else if (!isWaiting) {
          isWaiting = true;
          messages.next().then(
            result => {
              isWaiting = false;
              if (result.done !== true) seen.push(result.value);
            },
            () => (isWaiting = false),
          );
        }
        await Promise.resolve();
        await Promise.resolve();
      }
      await messages.return();
      assert.deepEqual(
        seen,
        Array.from(seen, (_, index) => index),
      );
      assert.equal(told.takenBytes, pushed);
      assert.equal(told.finished, 1);
      assert.ok(told.stopped <= 1);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30 }), run), { numRuns: 500 });
  });
});
