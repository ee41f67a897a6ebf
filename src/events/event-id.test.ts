import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { EventIds } from "./event-id.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("ids are UUIDs of version 7 that begin with the time and sort in the order in which they are made", async () => {
  const platform = virtualPlatform({ seed: 1 });
  const ids = new EventIds(platform);
  const made: string[] = [];
  for (let index = 0; index < 10_000; index++) {
    if (index % 3000 === 0) await platform.clock.advance(1);
    made.push(ids.next());
  }
  for (const id of made) assert.match(id, uuidV7);
  assert.deepEqual(made, made.toSorted());
  assert.equal(new Set(made).size, made.length);
  const first = Number.parseInt((made[0] as string).replace("-", "").slice(0, 12), 16);
  assert.equal(first, Math.floor(platform.clock.wall()) - 3);
});
