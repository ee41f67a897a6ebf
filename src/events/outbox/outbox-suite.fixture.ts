/**
 * What an outbox promises, the same in every database. Registered by the tests of each store with a database of its own and
 * a way to let time pass.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import type { ObservedEvent, Platform } from "../../platform/index.ts";
import type { PublishFailure } from "../driver.ts";
import type { EventRecord } from "../record.ts";
import type { Outbox, OutboxOptions } from "./outbox.ts";
import { recordingBroker } from "./recording-broker.fixture.ts";
import type { OutboxStore } from "./store.ts";

export interface OutboxHarness {
  readonly platform: Platform;
  /** An outbox on a connection of its own to the one database. */
  readonly open: (options: OutboxOptions) => Promise<OpenedOutbox>;
  /** Lets time pass until `check` holds; fails when that takes too long. */
  readonly until: (check: () => boolean | Promise<boolean>, what: string) => Promise<void>;
  /** Lets `ms` pass. */
  readonly pass: (ms: number) => Promise<void>;
  /** Ends all leases at once, as if their holders had slept. */
  readonly expireLeases: () => Promise<void>;
  /** What every store of this database does, to come between two steps of a relay. */
  readonly storeMethods: { holdBack: OutboxStore<never>["holdBack"] };
  readonly close: () => Promise<void>;
}

export interface OpenedOutbox {
  readonly outbox: Outbox<never, unknown>;
  /** Publishes events in one transaction, one by one, which fails afterwards with `failure`. */
  readonly commit: (events: readonly TestEvent[], failure?: Error) => Promise<void>;
  /** The same at once. */
  readonly commitAll: (events: readonly TestEvent[]) => Promise<void>;
}

export interface TestEvent {
  readonly id: string;
  readonly key?: string;
  readonly notBeforeMs?: number;
  readonly bodyBytes?: number;
}

/** What the recording broker makes events of; it asks no schema. */
export const anySchema = undefined as unknown as DescMessage;

const ids = (records: readonly EventRecord[]) => records.map(({ id }) => id);
const unavailable: PublishFailure = { isRetryable: true, error: new Error("no connection") };
const refused: PublishFailure = { isRetryable: false, error: new Error("too large") };

export function outboxSuite(name: string, make: () => Promise<OutboxHarness>): void {
  const run = (title: string, body: (harness: OutboxHarness) => Promise<void>) =>
    test(title, async () => {
      const harness = await make();
      try {
        await body(harness);
      } finally {
        await harness.close();
      }
    });

  describe(name, () => {
    run("what a transaction publishes is sent when it commits, and never when it is rolled back", async harness => {
      const broker = recordingBroker();
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      await commit([{ id: "a", key: "k" }, { id: "b" }]);
      await assert.rejects(commit([{ id: "c" }], new Error("changed my mind")), /changed my mind/);
      await commit([{ id: "d", key: "k" }]);
      await harness.until(() => broker.taken.length >= 3, "three events are sent");
      await harness.pass(1_000);
      assert.deepEqual(ids(broker.taken), ["a", "b", "d"]);
      const [first] = broker.taken;
      assert.deepEqual([first?.topic, first?.key, first?.headers["tenant"]], ["orders", "k", "7"]);
      assert.equal(Buffer.from(first?.body ?? []).toString(), "body of a");
      await harness.until(async () => (await outbox.counts()).unsent === 0, "all are marked");
      await outbox.close();
    });

    run("events that are published at once are sent in their order", async harness => {
      const broker = recordingBroker();
      const { outbox, commitAll } = await harness.open({ broker, platform: harness.platform });
      const later = harness.platform.clock.wall() + 300;
      await commitAll(Array.from({ length: 50 }, (_, index) => ({ id: String(index), key: "k" })));
      await commitAll([]);
      await commitAll([{ id: "scheduled", notBeforeMs: later }, { id: "keyless" }]);
      await harness.until(() => broker.taken.length === 52, "all are sent");
      const expected = [...Array.from({ length: 50 }, (_, index) => String(index)), "keyless", "scheduled"];
      assert.deepEqual(ids(broker.taken), expected);
      await outbox.close();
    });

    run("order per key is that of the commits", async harness => {
      const broker = recordingBroker();
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      for (let index = 0; index < 60; index++) await commit([{ id: String(index), key: `k${index % 7}` }]);
      await harness.until(() => broker.taken.length === 60, "all are sent");
      for (let key = 0; key < 7; key++) {
        const numbers = broker.taken.filter(record => record.key === `k${key}`).map(({ id }) => Number(id));
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
        );
      }
      await outbox.close();
    });

    run("a broker that is away for a while gets everything, with the same ids", async harness => {
      const broker = recordingBroker();
      broker.answer = () => unavailable;
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      await commit([
        { id: "a", key: "k" },
        { id: "b", key: "k" },
      ]);
      await harness.until(() => broker.asked.length >= 4, "it is tried again");
      broker.answer = () => undefined;
      await harness.until(() => broker.taken.length >= 2, "both arrive");
      await harness.pass(1_000);
      assert.deepEqual(ids(broker.taken), ["a", "b"]);
      await outbox.close();
    });

    run("while a broker is away, tries are spaced by a back-off that new events do not shorten", async harness => {
      const broker = recordingBroker();
      broker.answer = () => unavailable;
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      await commit([{ id: "first" }]);
      await harness.until(() => broker.passes >= 3, "three tries");
      const before = broker.passes;
      for (let index = 0; index < 20; index++) await commit([{ id: String(index) }]);
      assert.ok(broker.passes <= before + 1, `${broker.passes - before} tries for 20 commits`);
      await outbox.close();
    });

    run(
      "rows that were confirmed and not marked, because a relay slept, are sent again with their ids",
      async harness => {
        const asleep = recordingBroker();
        let wakeUp = () => {};
        // The broker has the event, but the process does not hear of it.
        asleep.stall = new Promise<void>(resolve => {
          wakeUp = resolve;
        });
        const events: ObservedEvent[] = [];
        const first = await harness.open({
          broker: asleep,
          platform: harness.platform,
          observer: { emit: event => events.push(event) },
        });
        await first.commit([{ id: "a", key: "k" }]);
        await harness.until(() => asleep.taken.length === 1, "it is at the broker");
        await harness.expireLeases();
        const broker = recordingBroker();
        const second = await harness.open({ broker, platform: harness.platform });
        await harness.until(() => broker.taken.length === 1, "another relay sends it again");
        assert.deepEqual(ids(broker.taken), ["a"]);
        wakeUp();
        await harness.until(
          () => events.some(({ type }) => type === "outbox.fenced"),
          "the sleeper's mark counts for nothing",
        );
        await first.outbox.close();
        await second.outbox.close();
      },
    );

    run("two relays share the work, and one that closes leaves it to the other", async harness => {
      const [one, two] = [recordingBroker(), recordingBroker()];
      const first = await harness.open({ broker: one, platform: harness.platform, leaseMs: 400, pollMs: 20 });
      const second = await harness.open({ broker: two, platform: harness.platform, leaseMs: 400, pollMs: 20 });
      await harness.pass(1_000);
      const keys = Array.from({ length: 40 }, (_, index) => `k${index}`);
      await first.commit(keys.map((key, index) => ({ id: `a${index}`, key })));
      await harness.until(() => one.taken.length + two.taken.length >= 40, "all are sent");
      assert.ok(one.taken.length > 5 && two.taken.length > 5, `${one.taken.length} and ${two.taken.length}`);
      assert.equal(new Set([...ids(one.taken), ...ids(two.taken)]).size, 40);
      await second.outbox.close();
      await first.commit(keys.map((key, index) => ({ id: `b${index}`, key })));
      await harness.until(() => one.taken.filter(({ id }) => id.startsWith("b")).length === 40, "one relay sends all");
      await first.outbox.close();
    });

    run(
      "an event that the broker refuses for good is set aside, and its key waits until that is settled",
      async harness => {
        const broker = recordingBroker();
        broker.answer = ({ id }) => (id.startsWith("poison") ? refused : undefined);
        const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
        await commit([{ id: "poison", key: "k" }, { id: "other" }]);
        await harness.until(async () => (await outbox.counts()).parked === 1, "it is set aside");
        await commit([{ id: "later", key: "k" }]);
        await harness.until(async () => (await outbox.counts()).held === 1, "the next of its key waits");
        await harness.pass(1_000);
        assert.deepEqual(ids(broker.taken), ["other"]);
        const [parked] = await outbox.refused();
        assert.match(parked?.reason ?? "", /too large/);
        assert.equal(parked?.record.id, "poison");
        assert.equal(await outbox.settleRefused(parked?.sequence ?? -1, "discard"), true);
        assert.equal(await outbox.settleRefused(parked?.sequence ?? -1, "discard"), false);
        await harness.until(() => broker.taken.length === 2, "its key goes on");
        assert.deepEqual(ids(broker.taken), ["other", "later"]);
        await outbox.close();
      },
    );

    run("a refused event that is sent again goes before those of its key that waited for it", async harness => {
      const broker = recordingBroker();
      broker.answer = ({ id }) => (id === "poison" ? refused : undefined);
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      await commit([{ id: "poison", key: "k" }]);
      await harness.until(async () => (await outbox.counts()).parked === 1, "it is set aside");
      await commit([{ id: "later", key: "k" }]);
      await harness.until(async () => (await outbox.counts()).held === 1, "the next of its key waits");
      broker.answer = () => undefined;
      const [parked] = await outbox.refused();
      await outbox.settleRefused(parked?.sequence ?? -1, "retry");
      await harness.until(() => broker.taken.length === 2, "both arrive");
      assert.deepEqual(ids(broker.taken), ["poison", "later"]);
      await outbox.close();
    });

    run(
      "an event that is committed between a relay's two looks waits behind the refused one of its key too",
      async harness => {
        const broker = recordingBroker();
        broker.answer = ({ id }) => (id === "poison" ? refused : undefined);
        const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
        await commit([{ id: "poison", key: "k" }]);
        await harness.until(async () => (await outbox.counts()).parked === 1, "it is set aside");
        const { storeMethods } = harness;
        const { holdBack } = storeMethods;
        let committed: Promise<void> | undefined;
        storeMethods.holdBack = async function (this: OutboxStore<never>) {
          const hasParked = await holdBack.call(this);
          committed ??= commit([{ id: "later", key: "k" }, { id: "other" }]);
          await committed;
          return hasParked;
        };
        try {
          await harness.until(() => broker.taken.length > 0, "the other one is sent");
          await harness.until(async () => (await outbox.counts()).held === 1, "the next of its key waits");
          assert.deepEqual(ids(broker.taken), ["other"]);
        } finally {
          storeMethods.holdBack = holdBack;
        }
        await outbox.close();
      },
    );

    run("with skip, others of the key do not wait", async harness => {
      const broker = recordingBroker();
      broker.answer = ({ id }) => (id === "poison" ? refused : undefined);
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform, onRefused: "skip" });
      await commit([{ id: "poison", key: "k" }]);
      await harness.until(async () => (await outbox.counts()).parked === 1, "it is set aside");
      await commit([{ id: "later", key: "k" }]);
      await harness.until(() => broker.taken.length === 1, "the later one arrives");
      await outbox.close();
    });

    run("an event with a time is not sent before it", async harness => {
      const broker = recordingBroker();
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      const dueMs = harness.platform.clock.wall() + 1_500;
      await commit([{ id: "later", notBeforeMs: dueMs }, { id: "now" }]);
      await harness.until(() => broker.taken.length === 1, "the other one is sent");
      assert.equal((await outbox.counts()).scheduled, 1);
      await harness.until(() => broker.taken.length === 2, "it is sent");
      assert.ok(harness.platform.clock.wall() >= dueMs - 50);
      assert.deepEqual(ids(broker.taken), ["now", "later"]);
      await outbox.close();
    });

    run("many events go in passes of bounded size", async harness => {
      const broker = recordingBroker();
      const { outbox, commit } = await harness.open({ broker, platform: harness.platform });
      const bodyBytes = 1024 * 1024;
      await commit(Array.from({ length: 20 }, (_, index) => ({ id: String(index), key: "k", bodyBytes })));
      await harness.until(() => broker.taken.length === 20, "all arrive");
      assert.deepEqual(
        ids(broker.taken),
        Array.from({ length: 20 }, (_, index) => String(index)),
      );
      assert.ok(broker.passes >= 2 && broker.passes <= 4, `${broker.passes} passes`);
      await outbox.close();
    });

    run("without a relay events wait for one", async harness => {
      const broker = recordingBroker();
      const writer = await harness.open({ broker, platform: harness.platform, relay: false });
      await writer.commit([{ id: "a" }]);
      await harness.pass(500);
      assert.equal(broker.taken.length, 0);
      const sender = await harness.open({ broker, platform: harness.platform });
      await harness.until(() => broker.taken.length === 1, "the relay sends it");
      await sender.outbox.close();
    });
  });
}
