import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type ErrorCode, isRpcError, type RpcError } from "../../errors/index.ts";
import type { ObservedEvent } from "../../platform/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import type { Broker, BrokerOptions, SubscribeOptions } from "../broker.ts";
import { type Balance, ledger, type Placed } from "../conformance/ledger.ts";
import { connectBroker } from "../connect.ts";
import type { Delivery } from "../handler.ts";
import type { StoredRecord } from "../record.ts";
import { onRequest } from "./on-request.ts";

export const { PlacedSchema, NotedSchema, BalanceSchema, file } = ledger("ledger");

/** Connections to one memory broker on a clock that the test moves. */
export function scene(t: TestContext) {
  const platform = virtualPlatform();
  const { clock } = platform;
  const events: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void events.push(event) };
  const all: Broker[] = [];
  async function connect(options: BrokerOptions = {}): Promise<Broker> {
    const broker = await connectBroker("memory:shop", {
      platform,
      observer,
      source: "/test",
      contracts: [file],
      ...options,
    });
    all.push(broker);
    return broker;
  }
  t.after(async () => {
    const closing = Promise.allSettled(all.map(broker => broker.close({ timeoutMs: 10 })));
    await clock.advance(60_000);
    await closing;
  });
  /** Answers as a group of a service would. */
  async function serve(
    handle: (request: Placed, delivery: Delivery) => Partial<Balance> | Promise<Partial<Balance>>,
    options: Partial<SubscribeOptions> = {},
    connection: BrokerOptions = {},
  ) {
    const broker = await connect(connection);
    const handler = onRequest(PlacedSchema, BalanceSchema, async (request, delivery) => {
      const { account = "", total = 0 } = await handle(request, delivery);
      return { account, total };
    });
    const subscription = await broker.subscribe({ group: "bank", ...options }, handler);
    return { broker, subscription };
  }
  const seen = (type: string) => events.filter(event => event.type === type) as unknown as Record<string, unknown>[];
  return { platform, clock, connect, serve, events, seen };
}

/** What became of a promise, without waiting for it. */
export function watch<T>(promise: Promise<T>) {
  const outcome: { value?: T; error?: unknown; isOver: boolean } = { isOver: false };
  promise.then(
    value => Object.assign(outcome, { value, isOver: true }),
    error => Object.assign(outcome, { error, isOver: true }),
  );
  return outcome;
}

export function assertCode(error: unknown, code: ErrorCode, text?: RegExp): RpcError {
  assert.ok(isRpcError(error, code), String(error));
  if (text !== undefined) assert.match(error.message, text);
  return error;
}

export async function lettersOf(broker: Broker) {
  const letters = [];
  for await (const letter of broker.deadLetters()) letters.push(letter);
  return letters;
}

/** What lies on a topic, as it is. */
export async function recordsOf(broker: Broker, topic: string, count: number): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for await (const record of broker.tail([topic], { from: "beginning" })) if (records.push(record) === count) break;
  return records;
}
