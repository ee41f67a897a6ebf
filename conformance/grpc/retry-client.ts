import assert from "node:assert/strict";
import { type Channel, createClient, isRpcError } from "../../src/exports/index.ts";
import { RetryService } from "./gen/retry_pb.ts";

type Method = "marked" | "unmarked";

interface Call {
  readonly method: Method;
  readonly failures: number;
  readonly pushback?: string;
  /** Values of `grpc-previous-rpc-attempts` for each attempt that the server should see. */
  readonly previous: readonly (readonly string[])[];
  readonly isGood: boolean;
}

let keys = 0;

/** Makes a call, compares its outcome and its attempts; answers the times between attempts in milliseconds. */
async function expectAttempts(channel: Channel, { method, previous, isGood, ...request }: Call): Promise<number[]> {
  const client = createClient(RetryService, channel);
  const key = `${method} ${++keys}`;
  const calling = client[method]({ key, ...request });
  if (isGood) await calling;
  else await assert.rejects(calling, error => isRpcError(error, "unavailable") && error.message === "as asked");
  const { attempts } = await client.seen({ key });
  assert.deepEqual(
    attempts.map(attempt => attempt.previous),
    previous,
  );
  return attempts.slice(1).map(({ afterMs }, i) => afterMs - (attempts[i]?.afterMs ?? 0));
}

const once = [[]];
const twice = [[], ["1"]];
const thrice = [[], ["1"], ["2"]];

/** What our client does about a grpc-go server that answers UNAVAILABLE: the contract says which method may be repeated. */
export const retryCases: Readonly<Record<string, (channel: Channel) => Promise<void>>> = {
  async "UNAVAILABLE twice on an idempotent method, then OK"(channel) {
    await expectAttempts(channel, { method: "marked", failures: 2, previous: thrice, isGood: true });
  },

  async "UNAVAILABLE always on an idempotent method: three attempts"(channel) {
    await expectAttempts(channel, { method: "marked", failures: 100, previous: thrice, isGood: false });
  },

  async "UNAVAILABLE on an unmarked method: one attempt"(channel) {
    await expectAttempts(channel, { method: "unmarked", failures: 1, previous: once, isGood: false });
  },

  async "pushback of 300 ms is waited for"(channel) {
    const call = { method: "marked", failures: 1, pushback: "300", previous: twice, isGood: true } as const;
    const [waitedMs = 0] = await expectAttempts(channel, call);
    // Jitter may only add, and the server measures from its own answer: nothing below 300 ms is right.
    assert(waitedMs >= 300 && waitedMs < 3_000, `the second attempt came after ${waitedMs} ms`);
  },

  async "pushback of 0 ms is a retry"(channel) {
    await expectAttempts(channel, { method: "marked", failures: 1, pushback: "0", previous: twice, isGood: true });
  },

  async "pushback of -1: one attempt"(channel) {
    await expectAttempts(channel, { method: "marked", failures: 1, pushback: "-1", previous: once, isGood: false });
  },

  async "pushback that is no number: one attempt"(channel) {
    await expectAttempts(channel, { method: "marked", failures: 1, pushback: "soon", previous: once, isGood: false });
  },

  async "pushback of 300 ms on an unmarked method: one attempt"(channel) {
    await expectAttempts(channel, { method: "unmarked", failures: 1, pushback: "300", previous: once, isGood: false });
  },
};
