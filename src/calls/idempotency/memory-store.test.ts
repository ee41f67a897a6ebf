import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { memoryIdempotencyStore } from "./memory-store.ts";
import { storeSuite, ticket } from "./store-suite.ts";

storeSuite("memory store", platform => memoryIdempotencyStore({ platform }));

test("a full memory store refuses new keys, keeps its promises, and takes new ones when old ones have expired", async () => {
  const platform = virtualPlatform();
  const store = memoryIdempotencyStore({ entriesMax: 2, platform });
  const first = ticket({ key: "1" });
  await store.begin(first);
  await store.complete(first, new Uint8Array([1]));
  await store.begin(ticket({ key: "2" }));
  assert.throws(() => store.begin(ticket({ key: "3" })), /full: 2 of at most 2 keys.*raise entriesMax/);
  assert.equal((await store.begin(ticket({ key: "1" }))).kind, "stored");
  assert.equal((await store.begin(ticket({ key: "2" }))).kind, "running");
  await platform.clock.advance(first.ttlMs);
  assert.equal((await store.begin(ticket({ key: "3" }))).kind, "new");
  assert.equal((await store.begin(ticket({ key: "4" }))).kind, "new");
});

test("a memory store that holds enough bytes takes no new keys until answers have expired", async () => {
  const platform = virtualPlatform();
  const store = memoryIdempotencyStore({ bytesMax: 100, platform });
  const first = ticket({ key: "1" });
  await store.begin(first);
  await store.complete(first, new Uint8Array(100));
  assert.throws(() => store.begin(ticket({ key: "2" })), /100 of at most 100 bytes/);
  await platform.clock.advance(first.ttlMs);
  assert.equal((await store.begin(ticket({ key: "2" }))).kind, "new");
});

test("limits that hold nothing are mistakes", () => {
  for (const options of [{ entriesMax: 0 }, { bytesMax: Number.NaN }, { entriesMax: -1 }]) {
    assert.throws(() => memoryIdempotencyStore(options), TypeError);
  }
});
