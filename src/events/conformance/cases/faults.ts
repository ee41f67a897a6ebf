import assert from "node:assert/strict";
import { type BrokerCase, lacksOrder } from "../case.ts";
import { firstDeliveries, isAscending, type Scene } from "../scene.ts";

/** Publishes in the background from one account each, one event after the other, as services do. */
async function publishSteadily(scene: Scene, count: number, accounts: number, onPublished: () => void): Promise<void> {
  const broker = await scene.connect();
  await Promise.all(
    Array.from({ length: accounts }, async (_, account) => {
      for (let number = 0; number < count / accounts; number++) {
        await scene.publish(broker, `account-${account}`, number);
        onPublished();
      }
    }),
  );
}

/** `fault` happens in the middle of `count` events; every one that was confirmed is handled. */
async function through(scene: Scene, count: number, fault: () => Promise<void>): Promise<void> {
  const accounts = 20;
  const broker = await scene.connect();
  const journal = scene.journal();
  const { inOrder } = scene.harness;
  await scene.subscribe(broker, journal, undefined, inOrder);
  let published = 0;
  let isFaulty = false;
  let faulted: Promise<void> | undefined;
  await publishSteadily(scene, count, accounts, () => {
    if (++published < count / 2 || isFaulty) return;
    isFaulty = true;
    faulted = fault();
  });
  assert.ok(faulted !== undefined, "the fault has happened");
  await faulted;
  await journal.until(
    entries => [...firstDeliveries(entries).values()].reduce((sum, { length }) => sum + length, 0) === count,
    `all ${count} events`,
  );
  if (lacksOrder(broker.capabilities, scene.harness) !== undefined) return;
  for (const numbers of firstDeliveries(journal.entries).values()) assert.ok(isAscending(numbers), String(numbers));
}

export const faultCases: readonly BrokerCase[] = [
  {
    name: "connections are cut in the middle of 2,000 events: all that was confirmed is handled",
    lacks: (_capabilities, { cutConnections }) =>
      cutConnections === undefined ? "its test cannot cut connections" : undefined,
    run: scene => through(scene, 2_000, async () => scene.harness.cutConnections?.()),
  },
  {
    name: "the broker is restarted in the middle of 10,000 events: all that was confirmed is handled",
    lacks: (_capabilities, { restart }) => (restart === undefined ? "its test cannot restart it" : undefined),
    run: scene => through(scene, 10_000, async () => scene.harness.restart?.()),
  },
];
