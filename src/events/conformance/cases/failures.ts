import assert from "node:assert/strict";
import { Discard, RetryLater } from "../../errors.ts";
import { on } from "../../handler.ts";
import { type BrokerCase, lacksOrder } from "../case.ts";
import { quickRetry } from "../scene.ts";

export const failureCases: readonly BrokerCase[] = [
  {
    name: "a handler that fails is called again, counts its attempts, and succeeds",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const subscription = await scene.subscribe(broker, journal, (_event, { attempt }) => {
        if (attempt < 3) throw new Error(`attempt ${attempt}`);
      });
      await scene.publish(broker, "a", 1);
      const seen = await journal.reaches(4);
      assert.deepEqual(
        seen.map(({ attempt }) => attempt),
        [0, 1, 2, 3],
      );
      await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled === 1,
        "the event to be settled",
      );
      assert.deepEqual(await scene.letters(broker), []);
      assert.equal(subscription.stats().failedAttempts, 3);
    },
  },
  {
    name: "a delayed attempt does not hold back other events",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const retry = { ...quickRetry, immediate: 0, initialDelayMs: 500, maxDelayMs: 500 };
      await scene.subscribe(
        broker,
        journal,
        (event, { attempt }) => {
          if (event.account === "slow" && attempt === 0) throw new Error("later");
        },
        { order: "none", onFailure: "unordered", concurrency: 1, retry },
      );
      await scene.publish(broker, "slow", 1);
      await journal.reaches(1);
      for (const number of [2, 3, 4]) await scene.publish(broker, "quick", number);
      const seen = await journal.reaches(5);
      assert.deepEqual(
        seen.map(({ number }) => number),
        [1, 2, 3, 4, 1],
      );
      assert.equal(seen[4]?.attempt, 1);
    },
  },
  {
    name: "park-key: later events of the key wait behind the failed one, other keys go on",
    lacks: lacksOrder,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      const retry = { ...quickRetry, immediate: 0, initialDelayMs: 500, maxDelayMs: 500 };
      await scene.subscribe(
        broker,
        journal,
        (event, { attempt }) => {
          if (event.account === "a" && event.number === 1 && attempt < 2) throw new Error("not yet");
        },
        { ...scene.harness.inOrder, onFailure: "park-key", retry },
      );
      await scene.publish(broker, "a", 1);
      await journal.reaches(1);
      for (const number of [2, 3]) await scene.publish(broker, "a", number);
      await scene.publish(broker, "b", 1);
      const seen = await journal.reaches(6);
      const ofA = seen.filter(({ account }) => account === "a").map(({ number, attempt }) => `${number}/${attempt}`);
      assert.deepEqual(ofA, ["1/0", "1/1", "1/2", "2/0", "3/0"]);
      const second = seen.findIndex(({ account, attempt }) => account === "a" && attempt === 1);
      assert.ok(seen.findIndex(({ account }) => account === "b") < second, "b did not wait for a");
    },
  },
  {
    name: "block: nothing of the lane begins before the failed event is done with",
    lacks: lacksOrder,
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(
        broker,
        journal,
        (event, { attempt }) => {
          if (event.number === 1 && attempt < 3) throw new Error("not yet");
        },
        { ...scene.harness.inOrder, order: "partition", onFailure: "block" },
      );
      await Promise.all([1, 2, 3].map(number => scene.publish(broker, "a", number)));
      const seen = await journal.reaches(6);
      assert.deepEqual(
        seen.map(({ number }) => number),
        [1, 1, 1, 1, 2, 3],
      );
    },
  },
  {
    name: "RetryLater says when the next attempt is",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal, (_event, { attempt }) => {
        if (attempt === 0) throw new RetryLater(30);
      });
      await scene.publish(broker, "a", 1);
      const seen = await journal.reaches(2);
      assert.equal(seen[1]?.attempt, 1);
    },
  },
  {
    name: "an event that fails for good is among the dead letters, whole and with its story",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal, () => {
        throw new Error("the ledger is closed", { cause: new Error("end of year") });
      });
      const { id } = await broker.publish(
        scene.ledger.PlacedSchema,
        { account: "a", number: 1 },
        { headers: { "x-tenant": "blue" } },
      );
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.ok(letter !== undefined);
      assert.equal(letter.group, scene.group);
      assert.equal(letter.topic, scene.ledger.topic);
      assert.equal(letter.key, "a");
      assert.equal(letter.attributes.id, id);
      assert.equal(letter.attributes.type, "ledger.placed");
      assert.equal(letter.attributes.headers?.["x-tenant"], "blue");
      assert.equal(JSON.parse(Buffer.from(letter.body).toString()).account, "a");
      assert.equal(letter.reason, "attempts");
      assert.equal(letter.attempts, quickRetry.maxAttempts);
      assert.match(letter.exception ?? "", /the ledger is closed[\s\S]*end of year/);
      assert.equal(letter.consumer, "/conformance");
      assert.equal(letter.contract, "conformance.Placed");
      assert.ok((letter.firstFailedAtMs ?? 0) > 0 && letter.diedAtMs >= (letter.firstFailedAtMs ?? 0));
      assert.equal(journal.length, quickRetry.maxAttempts);
    },
  },
  {
    name: "Discard ends an event at once",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal, () => {
        throw new Discard("nobody has this account");
      });
      await scene.publish(broker, "a", 1);
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.reason, "discarded");
      assert.equal(letter.attempts, 1);
      assert.match(letter.exception ?? "", /nobody has this account/);
      assert.equal(journal.length, 1);
    },
  },
  {
    name: "dead letters can be found, given back, edited and discarded",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      let isBroken = true;
      const other = scene.journal();
      await scene.subscribe(broker, journal, () => {
        if (isBroken) throw new Discard("broken");
      });
      await scene.subscribe(broker, other, undefined, { group: scene.harness.uniqueName("other") });
      for (const [account, number] of [
        ["a", 1],
        ["b", 2],
        ["c", 3],
      ] as const)
        await scene.publish(broker, account, number);
      await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 3,
        "three dead letters",
      );
      await other.reaches(3);
      isBroken = false;

      const [ofA, ...more] = await scene.letters(broker, { key: "a" });
      assert.ok(ofA !== undefined && more.length === 0);
      await ofA.replay({ dryRun: true });
      assert.equal((await scene.letters(broker)).length, 3, "a dry run changes nothing");
      assert.equal(journal.length, 3);
      await ofA.replay();
      const again = await journal.reaches(4);
      assert.deepEqual(again[3], { account: "a", number: 1, attempt: 0, member: "one" });

      const [ofB] = await scene.letters(broker, { key: "b", reason: "discarded" });
      const edited = await ofB?.edit({ headers: { "x-fixed": "yes" } });
      assert.equal(edited?.attributes.headers?.["x-fixed"], "yes");
      const [found] = await scene.letters(broker, { key: "b" });
      assert.equal(found?.attributes.headers?.["x-fixed"], "yes");
      await found?.replay();
      await journal.reaches(5);

      const [ofC] = await scene.letters(broker, { key: "c" });
      await ofC?.discard();
      await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 0,
        "no dead letters",
      );
      assert.equal(other.length, 3, "a replay is for the group that had failed");
    },
  },
  {
    name: "what breaks the rules of its contract goes to the dead letters",
    async run(scene) {
      const broker = await scene.connect();
      const journal = scene.journal();
      await scene.subscribe(broker, journal);
      await broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 1, note: "longer than ten" });
      await scene.publish(broker, "b", 2);
      await journal.reaches(1);
      const [letter] = await scene.eventually(
        () => scene.letters(broker),
        ({ length }) => length === 1,
        "the dead letter",
      );
      assert.equal(letter?.reason, "invalid");
      assert.match(letter.exception ?? "", /note/);
      assert.equal(journal.entries[0]?.number, 2);
    },
  },
  {
    name: "an event that a handler published to another type is not confused with its own",
    async run(scene) {
      const broker = await scene.connect();
      const placed = scene.journal<number>();
      const noted = scene.journal<number>();
      await broker.subscribe(
        { group: scene.group },
        on(scene.ledger.PlacedSchema, event => placed.push(event.number)),
        on(scene.ledger.NotedSchema, event => noted.push(event.number)),
      );
      await broker.publish(scene.ledger.NotedSchema, { account: "a", number: 1 });
      await broker.publish(scene.ledger.PlacedSchema, { account: "a", number: 2 });
      assert.deepEqual(await noted.reaches(1), [1]);
      assert.deepEqual(await placed.reaches(1), [2]);
    },
  },
];
