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
    const policy = { timeout: duration(1_500), attemptTimeout: duration(0.25), hedge: { delay: duration(0.125) } };
    const { timeoutMs, attemptTimeoutMs, hedge } = compiled({ policy });
    assert.deepEqual([timeoutMs, attemptTimeoutMs, hedge?.delayMs], [1_500, 0.25, 0.125]);
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

  it("has attempts that a client would make", () => {
    refused({ policy: { maxAttempts: 101 } }, /policy\.max_attempts is 101; it must be at most 100/);
    refused({ policy: { hedge: { maxAttempts: 11 } } }, /policy\.hedge\.max_attempts is 11; it must be at most 10/);
    assert.equal(compiled({ policy: { maxAttempts: 100, hedge: { maxAttempts: 10 } } }).hedge?.maxAttempts, 10);
  });

  it("hedges only what may be sent twice, is no stream, and has time for it", () => {
    refused({ isIdempotent: false, policy: { hedge: {} } }, /policy\.hedge is set, .* no idempotency_level/);
    refused({ serverStreaming: true, policy: { hedge: {} } }, /policy\.hedge is set, but only unary calls are hedged/);
    const hedge = { delay: duration(100) };
    refused(
      { policy: { hedge, timeout: duration(100) } },
      /hedge\.delay is 100 ms; it must be below policy\.timeout, 100 ms/,
    );
    refused(
      { policy: { hedge, timeout: duration(500), attemptTimeout: duration(50) } },
      /policy\.hedge\.delay is 100 ms; it must be below policy\.attempt_timeout, 50 ms/,
    );
    assert.equal(compiled({ policy: { hedge, timeout: duration(101) } }).hedge?.delayMs, 100);
  });
});
