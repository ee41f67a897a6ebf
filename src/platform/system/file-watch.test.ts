import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchFile } from "./file-watch.ts";

test("who watches a file is told when it is written, until the watch is closed", async t => {
  const folder = mkdtempSync(join(tmpdir(), "watch-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "a");
  writeFileSync(file, "");
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = watchFile(file, resolve);
  t.after(() => watch?.close());
  assert.ok(watch !== undefined);
  // Some systems begin a little later than they say.
  const writing = setInterval(() => appendFileSync(file, "b"), 20);
  await promise.finally(() => clearInterval(writing));
});

test("a file that is not there cannot be watched", () => {
  assert.equal(
    watchFile(join(tmpdir(), "there-is-no-such-file"), () => {}),
    undefined,
  );
});
