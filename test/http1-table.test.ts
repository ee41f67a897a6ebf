import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeTables } from "../conformance/http1/quick.ts";
import { requestCases } from "../conformance/http1/requests.ts";
import { responseCases } from "../conformance/http1/responses.ts";

test("every row of the HTTP/1.1 tables gets its verdict from our server or client", async () => {
  const verdicts = await judgeTables();
  assert.deepEqual(verdicts.failures, []);
  assert.equal(verdicts.passed, requestCases.length + responseCases.length);
  assert.ok(verdicts.passed >= 200, "the tables have shrunk");
});
