import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { fuzzAgainstNode } from "../conformance/http1/fuzz.ts";

test("what our HTTP/1.1 server accepts, node:http accepts with the same meaning", async context => {
  const seed = randomInt(2 ** 31);
  context.diagnostic(`seed ${seed}; again with: node conformance/http1/fuzz.ts 800 ${seed}`);
  const report = await fuzzAgainstNode(800, seed);
  assert.deepEqual(report.disagreements, [], `seed ${seed}`);
  assert.ok(report.requestsAccepted > 300, `only ${report.requestsAccepted} requests were accepted`);
});
