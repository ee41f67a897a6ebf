import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { coalesce } from "./coalesce.ts";
import { policy } from "./policy.ts";
import { TimeoutError } from "./timeout-error.ts";

function rig(keysMax?: number) {
  const platform = virtualPlatform();
  const shared = coalesce({ platform, keysMax });
  const reads: { key: string | undefined; signal: AbortSignal; end: (value: string | Error) => void }[] = [];
  const read = (key: string | undefined) => (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      const end = (value: string | Error) => (typeof value === "string" ? resolve(value) : reject(value));
      reads.push({ key, signal, end });
    });
  return { platform, shared, reads, read };
}

test("callers of one key share a read while it is under way; the next one after it reads anew", async () => {
  const { shared, reads, read } = rig();
  const both = Promise.all([shared.run(read("a"), { key: "a" }), shared.run(read("a"), { key: "a" })]);
  const other = shared.run(read("b"), { key: "b" });
  assert.equal(reads.length, 2);
  assert.equal(shared.size, 2);
  reads[0]?.end("one");
  assert.deepEqual(await both, ["one", "one"]);
  const again = shared.run(read("a"), { key: "a" });
  assert.equal(reads.length, 3);
  reads[1]?.end("two");
  reads[2]?.end("three");
  assert.deepEqual(await Promise.all([other, again]), ["two", "three"]);
  assert.equal(shared.size, 0);
});

test("an error is everybody's, and is not kept", async () => {
  const { shared, reads, read } = rig();
  const both = [shared.run(read("a"), { key: "a" }), shared.run(read("a"), { key: "a" })];
  reads[0]?.end(new Error("down"));
  for (const outcome of await Promise.allSettled(both))
    assert.match(String((outcome as PromiseRejectedResult).reason), /down/);
  assert.equal(shared.size, 0);
});

test("work that throws at once, and reads without a key, are each their own", async () => {
  const { shared, reads, read } = rig();
  const thrown = () => {
    throw new Error("at once");
  };
  await assert.rejects(shared.run(thrown, { key: "a" }), /at once/);
  assert.equal(shared.size, 0);
  const both = Promise.all([shared.run(read(undefined)), shared.run(read(undefined))]);
  assert.equal(reads.length, 2);
  reads[0]?.end("1");
  reads[1]?.end("2");
  assert.deepEqual(await both, ["1", "2"]);
});

test("a caller's deadline ends its own wait; the read goes on for the others, without a deadline of anybody", async () => {
  const { platform, shared, reads, read } = rig();
  const hasty = shared.run(read("a"), { key: "a", timeoutMs: 100 }).catch((error: unknown) => error);
  const patient = shared.run(read("a"), { key: "a" });
  await platform.clock.advance(150);
  assert((await hasty) instanceof TimeoutError);
  assert.equal(reads[0]?.signal.aborted, false);
  reads[0]?.end("late");
  assert.equal(await patient, "late");
});

test("whoever comes while a read is being aborted does not join it", async () => {
  const { platform, shared, reads, read } = rig();
  const controller = new AbortController();
  const left = shared.run(read("a"), { key: "a", signal: controller.signal }).catch((error: unknown) => error);
  let next: Promise<string> | undefined;
  reads[0]?.signal.addEventListener("abort", () => {
    next = shared.run(read("a"), { key: "a" });
  });
  controller.abort(new Error("left"));
  await left;
  await platform.clock.settle();
  assert.equal(reads.length, 2);
  reads[1]?.end("anew");
  assert.equal(await next, "anew");
});

test("in a policy the guards are the read's, once for all callers", async () => {
  const { platform, reads, read } = rig();
  const guarded = policy({ coalesce: {}, bulkhead: { concurrent: 1, queue: 0 }, timeoutMs: 500, platform });
  const all = Promise.all(Array.from({ length: 10 }, () => guarded.run(read("a"), { key: "a" })));
  assert.equal(reads.length, 1);
  await assert.rejects(guarded.run(read("b"), { key: "b" }), { reason: "bulkhead_full" });
  reads[0]?.end("one");
  assert.equal(new Set(await all).size, 1);
});

test("whoever comes, leaves and is answered: reads are shared, aborted and forgotten as in a plain model", async () => {
  const keysMax = 2;
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ key: fc.constantFrom("a", "b", "c", undefined) }) },
    { weight: 2, arbitrary: fc.record({ leaves: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ ends: fc.nat(15), ok: fc.boolean() }) },
  );
  interface ModelRead {
    readonly id: number;
    readonly key: string | undefined;
    readonly isShared: boolean;
    /** Who began it. */
    readonly owner: number;
    readonly callers: Set<number>;
    state: "running" | "aborted" | "over";
  }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50 }), async steps => {
      const { platform, shared, reads, read } = rig(keysMax);
      const model: ModelRead[] = [];
      const expected: string[] = [];
      const outcomes: string[] = [];
      const controllers: AbortController[] = [];
      const current = () => model.filter(({ isShared, state }) => isShared && state === "running");
      for (const one of steps) {
        if ("key" in one) {
          const caller = controllers.push(new AbortController()) - 1;
          expected[caller] = "waits";
          outcomes[caller] = "waits";
          const joined = one.key === undefined ? undefined : current().find(({ key }) => key === one.key);
          if (joined !== undefined) joined.callers.add(caller);
          else {
            const isShared = one.key !== undefined && current().length < keysMax;
            model.push({
              id: model.length,
              key: one.key,
              isShared,
              owner: caller,
              callers: new Set([caller]),
              state: "running",
            });
          }
          shared.run(read(one.key), { key: one.key, signal: controllers[caller]?.signal }).then(
            value => (outcomes[caller] = value),
            (error: Error) => (outcomes[caller] = error.message),
          );
        } else if ("leaves" in one) {
          if (expected[one.leaves] === "waits") {
            expected[one.leaves] = "left";
            for (const entry of model) {
              if (!entry.callers.delete(one.leaves) || entry.callers.size > 0) continue;
              if (entry.state === "running") entry.state = "aborted";
            }
          }
          controllers[one.leaves]?.abort(new Error("left"));
        } else {
          const entry = model[one.ends];
          if (entry?.state === "running") {
            entry.state = "over";
            for (const caller of entry.callers) expected[caller] = `${one.ok ? "value" : "error"} ${entry.id}`;
          }
          reads[one.ends]?.end(one.ok ? `value ${one.ends}` : new Error(`error ${one.ends}`));
        }
        await platform.clock.settle();
        assert.deepEqual(
          reads.map(({ key, signal }) => ({ key, isAborted: signal.aborted })),
          model.map(({ key, state, owner }) => ({
            key,
            // A read of nobody else's has its caller's own signal, which that may abort when the read is long over.
            isAborted: state === "aborted" || (key === undefined && controllers[owner]?.signal.aborted === true),
          })),
        );
        assert.deepEqual(outcomes, expected);
        assert.equal(shared.size, current().length);
      }
    }),
    { examples: [[[{ key: undefined }, { ends: 0, ok: false }, { leaves: 0 }]]] },
  );
});
