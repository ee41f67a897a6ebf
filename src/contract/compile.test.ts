import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileService } from "./compile.ts";
import { ContractError } from "./contract-error.ts";
import type { MethodPolicy } from "./method.ts";
import { duration, type PolicyMethod, serviceWithPolicies } from "./policy.fixture.ts";

function compiled(method: PolicyMethod): MethodPolicy {
  const [only] = compileService(serviceWithPolicies("text", { One: method })).methods;
  assert(only !== undefined);
  return only.policy;
}

function refused(method: PolicyMethod, message: RegExp): void {
  assert.throws(
    () => compiled(method),
    (error: unknown) => {
      assert(error instanceof ContractError);
      assert.match(error.message, /^text\.proto: text\.TextService\.One: /);
      assert.match(error.message, message);
      return true;
    },
  );
}

describe("the policy of a method", () => {
  it("is silent where the contract is", () => {
    const { timeoutMs, attemptTimeoutMs, maxAttempts, hedge, requestBytesMax } = compiled({});
    assert.deepEqual(
      { timeoutMs, attemptTimeoutMs, maxAttempts, hedge, requestBytesMax },
      {
        timeoutMs: undefined,
        attemptTimeoutMs: undefined,
        maxAttempts: undefined,
        hedge: undefined,
        requestBytesMax: undefined,
      },
    );
  });

  it("has times in milliseconds", () => {
    const policy = { timeout: duration(1_500), attemptTimeout: duration(0.25), hedge: { delay: duration(20) } };
    const { timeoutMs, attemptTimeoutMs, hedge } = compiled({ policy });
    assert.deepEqual([timeoutMs, attemptTimeoutMs, hedge?.delayMs], [1_500, 0.25, 20]);
  });

  it("may give one attempt the time of the whole call, or a time where the call has none", () => {
    const time = duration(300);
    assert.equal(compiled({ policy: { timeout: time, attemptTimeout: time } }).attemptTimeoutMs, 300);
    assert.equal(compiled({ policy: { attemptTimeout: time } }).attemptTimeoutMs, 300);
  });

  it("does not give an attempt more time than the call, or none", () => {
    refused(
      { policy: { timeout: duration(300), attemptTimeout: duration(301) } },
      /policy\.attempt_timeout is 301 ms, more than policy\.timeout, 300 ms/,
    );
    for (const ms of [0, -1, -2_500]) {
      refused({ policy: { attemptTimeout: duration(ms) } }, /policy\.attempt_timeout is .* ms; it must be more than 0/);
    }
  });

  it("repeats nothing that may not be repeated, after codes that there are", () => {
    refused({ isIdempotent: false, policy: { maxAttempts: 2 } }, /policy\.max_attempts is 2, .* no idempotency_level/);
    refused({ policy: { retryableCodes: ["UNAVAILABLE"] } }, /policy\.retryable_codes has "UNAVAILABLE"/);
    assert.equal(compiled({ isIdempotent: false, policy: { maxAttempts: 1 } }).maxAttempts, 1);
  });
});
