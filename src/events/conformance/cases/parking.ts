import assert from "node:assert/strict";
import type { BrokerCapabilities } from "../../driver.ts";
import { Discard } from "../../errors.ts";
import type { BrokerCase } from "../case.ts";
import type { BrokerHarness } from "../harness.ts";
import { firstDeliveries, isAscending, type Scene } from "../scene.ts";

/** Attempts without end, so that keys stay parked until the case lets them go. */
const patient = { maxAttempts: 1_000, immediate: 0, initialDelayMs: 200, factor: 1, maxDelayMs: 200 } as const;
/** More than a subscription keeps in memory. */
const backlog = 1_000;

function lacksParking({ parking }: BrokerCapabilities, _harness: BrokerHarness): string | undefined {
  return parking === true ? undefined : "its parked events stay in memory, and lanes pause for them";
}

const poison = (count: number) => Array.from({ length: count }, (_, index) => `poison-${index}`);

/** Events of keys that fail, among those of others. */
async function publish(scene: Scene, keys: readonly string[], perKey: number, others: number): Promise<void> {
  const broker = await scene.connect();
  const events: { account: string; number: number }[] = [];
  const rounds = Math.max(perKey, Math.ceil(others / 100));
  for (let number = 0; number < rounds; number++) {
    if (number < perKey) for (const account of keys) events.push({ account, number });
    for (let index = number * 100; index < Math.min(others, (number + 1) * 100); index++) {
      events.push({ account: `good-${index % 100}`, number });
    }
  }
  await broker.publishAll(scene.ledger.PlacedSchema, events);
}

function seenAs(text: string) {
  const [account = "", number] = text.split(" ");
  return { account, number: Number(number), attempt: 0, member: "" };
}

export const parkingCases: readonly BrokerCase[] = [
  {
    name: "keys that fail for long do not stop other keys, whatever their backlog, and come in order when they can",
    lacks: lacksParking,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const done = scene.journal();
      const keys = poison(10);
      let isBroken = true;
      const subscription = await scene.subscribe(
        broker,
        journal,
        ({ account, number }, { attempt }) => {
          if (isBroken && account.startsWith("poison")) throw new Error("not yet");
          done.push({ account, number, attempt, member: "one" });
        },
        { ...scene.harness.inOrder, onFailure: "park-key", retry: patient },
      );
      await publish(scene, keys, backlog, 5_000);
      await done.reaches(5_000);
      const { parkedAtBroker, parkedEvents, parkedKeys } = await scene.eventually(
        () => subscription.stats(),
        stats => stats.parkedEvents > 9_900 && stats.parkedEvents - stats.parkedAtBroker < 1_600,
        "the keys that fail to be parked",
      );
      assert.ok(parkedKeys <= 10 && parkedAtBroker > 8_000, `${parkedKeys} keys, ${parkedAtBroker} of ${parkedEvents}`);
      await scene.eventually(
        async () => (await broker.groups()).filter(({ group }) => group === scene.group),
        statuses => statuses.reduce((sum, { lag }) => sum + lag, 0) === 10_000,
        "the lag to be what is parked",
      );
      isBroken = false;
      const all = firstDeliveries(await done.reaches(15_000));
      for (const numbers of all.values()) assert.ok(isAscending(numbers), String(numbers));
      for (const key of keys) assert.equal(all.get(key)?.length, backlog);
      assert.equal(done.length, 15_000, "nothing came twice");
      const stats = await scene.eventually(
        () => subscription.stats(),
        ({ parkedEvents: left }) => left === 0,
        "nothing to be parked",
      );
      assert.deepEqual([stats.parkedKeys, stats.parkedAtBroker], [0, 0]);
    },
  },
  {
    name: "parked events survive the end of their member, however it ends, in order",
    lacks: lacksParking,
    async run(scene) {
      const one = await scene.connect();
      const journal = scene.journal();
      const done = scene.journal();
      const keys = poison(3);
      const options = { ...scene.harness.inOrder, onFailure: "park-key", retry: patient } as const;
      let isBroken = true;
      const handler =
        (member: string) =>
        ({ account, number }: { readonly account: string; readonly number: number }) => {
          if (!account.startsWith("poison")) return;
          if (isBroken) throw new Error("not yet");
          done.push({ account, number, attempt: 0, member });
        };
      const subscription = await scene.subscribe(one, journal, handler("one"), options, "one");
      await publish(scene, keys, backlog, 500);
      await scene.eventually(
        () => subscription.stats(),
        ({ parkedAtBroker, handled }) => parkedAtBroker > 1_000 && handled === 500,
        "parked events at the broker",
      );
      if (scene.harness.kill === undefined) await one.close();
      else await scene.harness.kill(one);
      isBroken = false;
      const two = await scene.connect();
      await scene.subscribe(two, journal, handler("two"), options, "two");
      const first = new Set<string>();
      let read = 0;
      await done.until(entries => {
        for (; read < entries.length; read++) first.add(`${entries[read]?.account} ${entries[read]?.number}`);
        return first.size === keys.length * backlog;
      }, "all parked events");
      const all = firstDeliveries([...first].map(seenAs));
      for (const numbers of all.values()) assert.ok(isAscending(numbers), String(numbers));
    },
  },
  {
    name: "what is given up in the parking place is a dead letter of where it was first",
    lacks: lacksParking,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      let isOver = false;
      const subscription = await scene.subscribe(
        broker,
        journal,
        ({ account, number }) => {
          if (account !== "poison-0") return;
          if (!isOver) throw new Error("not yet");
          if (number === 0) throw new Discard("never");
        },
        { ...scene.harness.inOrder, onFailure: "park-key", retry: patient },
      );
      await publish(scene, poison(1), 2 * backlog, 0);
      await scene.eventually(
        () => subscription.stats(),
        ({ parkedAtBroker }) => parkedAtBroker > 1_500,
        "parked events at the broker",
      );
      isOver = true;
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.key, "poison-0");
      assert.equal(letter?.topic, scene.ledger.topic);
      assert.equal(letter?.reason, "discarded");
      assert.ok((letter?.attempts ?? 0) > 1, `attempt ${letter?.attempts}`);
      assert.ok((letter?.firstFailedAtMs ?? 0) > 0);
      assert.ok(letter?.place.startsWith(`${scene.ledger.topic}/`), letter?.place);
      assert.equal(JSON.parse(Buffer.from(letter?.body ?? []).toString()).number ?? 0, 0);
      await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled === 2 * backlog - 1,
        "the others",
      );
    },
  },
];
