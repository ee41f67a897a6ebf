import assert from "node:assert/strict";
import { test } from "node:test";
import { findSeamViolations } from "./platform-seam.ts";

const found = (source: string) => findSeamViolations(source).map(violation => violation.found);

for (const [source, expected] of [
  ["const t = Date.now();", "Date.now"],
  ["const t = new Date();", "new Date()"],
  ["const t = Date();", "Date()"],
  ["const t = globalThis.Date.now();", "Date.now"],
  ['const t = Date["now"]();', "Date.now"],
  ["const { now } = Date;", "Date.now"],
  ["setTimeout(() => {}, 5);", "setTimeout"],
  ["const later = setImmediate;", "setImmediate"],
  ["globalThis.setInterval(f, 1);", "setInterval"],
  ["const n = performance.now();", "performance"],
  ["const n = Math.random();", "Math.random"],
  ["const s = AbortSignal.timeout(5);", "AbortSignal.timeout"],
  ["await fetch('http://a');", "fetch"],
  ["const id = crypto.randomUUID();", "crypto.randomUUID"],
  ["const e = process.env.HOME;", "process.env"],
  ["const { env } = process;", "process.env"],
  ["import { connect } from 'node:net';", "import of node:net"],
  ["import 'net';", "import of net"],
  ["import { type Socket, connect } from 'node:tls';", "import of node:tls"],
  ["const net = await import('node:net');", "import of node:net"],
  ["export * from 'node:dns/promises';", "import of node:dns/promises"],
  ["import { setTimeout as wait } from 'node:timers/promises';", "import of node:timers/promises"],
  ["import { randomBytes } from 'node:crypto';", "randomBytes of node:crypto"],
  ["import crypto from 'node:crypto';", "crypto of node:crypto"],
  ["import { AsyncLocalStorage } from 'node:async_hooks';", "import of node:async_hooks"],
  ["class A { #t = { at: Date.now() }; }", "Date.now"],
  ["function f(x = Math.random()) { return [x]; }", "Math.random"],
  ["const f = (x: number) => x as number + Date.now();", "Date.now"],
] as const) {
  test(`the seam is seen in: ${source}`, () => assert.deepEqual(found(source), [expected]));
}

test("what only looks like it passes", () => {
  for (const source of [
    "// Date.now()\nconst s = 'Math.random()';",
    "const d = new Date(0); clock.now();",
    "clock.setTimeout(5); const o = { fetch: 1, setTimeout() {} };",
    "interface A { fetch: typeof fetch; now(): Date }",
    "import type { Socket } from 'node:net';",
    "import { type Socket } from 'node:net';",
    "import { createHash } from 'node:crypto';",
    "queueMicrotask(() => {}); process.nextTick(f);",
    "class A { fetch(): void {} get performance(): number { return 1; } }",
  ]) {
    assert.deepEqual(found(source), [], source);
  }
});

test("the line is right in the second file, behind a comment and behind letters of several bytes", () => {
  assert.equal(findSeamViolations("Date.now();")[0]?.line, 1);
  assert.equal(findSeamViolations("/** é\n */\nconst a = 'ü—';\nDate.now();")[0]?.line, 4);
});
