import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { bindIterator, contextKey, contextValue, outsideContext, runInContext, WholeContext } from "./index.ts";

const call = contextKey<string>("call");
const trace = contextKey<number>("trace");

test("values travel across awaits, and inner ones hide outer ones", async () => {
  await runInContext(call, "outer", async () => {
    await runInContext(trace, 1, async () => {
      await null;
      assert.equal(contextValue(call), "outer");
      assert.equal(contextValue(trace), 1);
      runInContext(call, "inner", () => assert.equal(contextValue(call), "inner"));
      assert.equal(contextValue(call), "outer");
    });
    assert.equal(contextValue(trace), undefined);
  });
  assert.equal(contextValue(call), undefined);
});

test("what is made outside of any context stays outside", async () => {
  await runInContext(call, "first", async () => {
    const inside = outsideContext(() => Promise.resolve().then(() => contextValue(call)));
    assert.equal(await inside, undefined);
    assert.equal(contextValue(call), "first");
  });
});

test("a bound generator sees its own call after an await and after being left waiting, whoever drives it", async () => {
  const seen: unknown[] = [];
  async function* numbers() {
    try {
      for (let n = 0; ; n++) {
        seen.push(contextValue(call));
        yield n;
        await null;
      }
    } finally {
      seen.push(`returned in ${contextValue(call)}`);
    }
  }
  const bound = runInContext(call, "mine", () => bindIterator(numbers()));
  await runInContext(call, "another", async () => {
    await bound.next();
    await bound.next();
  });
  await bound.return?.();
  assert.deepEqual(seen, ["mine", "mine", "returned in mine"]);
});

test("a whole context brings back the values of other libraries too", () => {
  const theirs = new AsyncLocalStorage<string>();
  const key = contextKey<string>("whole");
  const context = theirs.run("theirs", () => runInContext(key, "ours", () => new WholeContext()));
  assert.deepEqual([theirs.getStore(), contextValue(key)], [undefined, undefined]);
  assert.deepEqual(
    context.run(() => [theirs.getStore(), contextValue(key)]),
    ["theirs", "ours"],
  );
});
