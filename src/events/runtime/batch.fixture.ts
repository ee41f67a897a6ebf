import { type Batch, type BatchOptions, onBatch } from "../batch.ts";
import { ledger, type Placed } from "../conformance/ledger.ts";
import { ConsumerScene } from "./consumer.fixture.ts";
import { handlingOf } from "./handling.ts";
import type { ConsumerPlan } from "./plan.ts";

/** A consumer of `ledger.placed` in batches. */
export function batchScene(
  options: BatchOptions,
  handle: (events: readonly Placed[], batch: Batch) => unknown,
  plan: Partial<ConsumerPlan> = {},
): ConsumerScene {
  const handler = onBatch(ledger("ledger").PlacedSchema, options, handle);
  const handlings = new Map([["ledger", new Map([["ledger.placed", handlingOf(handler, undefined, [])]])]]);
  return new ConsumerScene(() => {}, { handlings, ...plan });
}

/** How a batch reads in assertions: `a1 a2 b1`. */
export function textOf(events: readonly Placed[]): string {
  return events.map(({ account, number }) => `${account}${number}`).join(" ");
}
