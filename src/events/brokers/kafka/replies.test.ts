import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { driverContext, eventRecord } from "../../log/recording-sink.fixture.ts";
import type { StoredRecord } from "../../record.ts";
import { KafkaDriver } from "./driver.ts";
import { code } from "./error-codes.ts";
import { FakeCluster, type Fate } from "./fake-cluster.fixture.ts";

function scene(seed = 1) {
  const platform = virtualPlatform({ seed });
  const { clock } = platform;
  const cluster = new FakeCluster(clock);
  const connect = () =>
    new KafkaDriver(cluster, [{ host: "b1", port: 9_092 }], driverContext(platform, { createTopics: false }));
  /** Awaits something that needs time to pass. */
  async function within<T>(work: Promise<T>, ms = 120_000): Promise<T> {
    let isOver = false;
    const end = () => {
      isOver = true;
    };
    work.then(end, end);
    for (let passed = 0; !isOver && passed < ms; passed += 50) await clock.advance(50);
    assert.ok(isOver, `not done within ${ms} ms`);
    return work;
  }
  const replyTopics = () => [...cluster.topics.keys()].filter(name => name.startsWith("trunkline.replies."));
  return { clock, cluster, connect, within, replyTopics };
}

const textOf = ({ body }: StoredRecord) => Buffer.from(body).toString();

describe("replies over Kafka", () => {
  test("come by a topic of the connection's own, made although topics may not be, and deleted at its end", async () => {
    const { cluster, connect, within, replyTopics } = scene();
    const [asking, answering] = [connect(), connect()];
    const received: StoredRecord[] = [];
    const address = await within(asking.replies.open(record => void received.push(record)));
    assert.deepEqual(replyTopics(), [address]);
    assert.equal(cluster.topics.get(address)?.partitions.length, 1);
    for (let index = 0; index < 20; index++) {
      const reply = eventRecord(String(index), { topic: address, key: undefined, correlationId: `c${index}` });
      assert.equal(await within(answering.replies.send(reply)), undefined);
    }
    await within(Promise.resolve(), 1_000);
    assert.deepEqual(
      received.map(record => [textOf(record), record.attributes.correlationId]),
      Array.from({ length: 20 }, (_, index) => [String(index), `c${index}`]),
    );
    await within(asking.close());
    assert.deepEqual(replyTopics(), []);
    const failure = await within(
      answering.replies.send(eventRecord("late", { topic: address, key: undefined })),
      60_000,
    );
    assert.equal(failure?.isRetryable, false, String(failure?.error));
    await within(answering.close());
  });

  test("to one that was never there, or has gone, are refused soon, and nothing is made or remembered", async () => {
    const { clock, cluster, connect, within, replyTopics } = scene();
    const answering = connect();
    for (let index = 0; index < 5; index++) {
      const topic = `trunkline.replies.${index.toString(16).padStart(32, "0")}`;
      const beganMs = clock.now();
      const failure = await within(answering.replies.send(eventRecord("x", { topic, key: undefined })));
      assert.equal(failure?.isRetryable, false);
      assert.match(failure.error.message, /whoever asked has left/);
      assert.ok(clock.now() - beganMs < 3_000, `${clock.now() - beganMs} ms`);
    }
    assert.deepEqual(replyTopics(), []);
    const before = cluster.calls.get("metadata") ?? 0;
    await clock.advance(120_000);
    assert.equal(cluster.calls.get("metadata") ?? 0, before, "nobody asks for them any more");
    await within(answering.close());
  });

  test("a connection that cannot delete its topic ends all the same, within some seconds", async () => {
    const { clock, cluster, connect, within, replyTopics } = scene();
    const asking = connect();
    await within(asking.replies.open(() => {}));
    cluster.fate = call => (call === "deleteTopics" ? code.topicAuthorizationFailed : "done");
    await within(asking.close());
    assert.equal(replyTopics().length, 1);
    const silent = connect();
    await within(silent.replies.open(() => {}));
    cluster.latencyMs = 1_000_000;
    const beganMs = clock.now();
    await within(silent.close(), 60_000);
    assert.ok(clock.now() - beganMs < 15_000, `${clock.now() - beganMs} ms`);
  });

  test("whatever happens to connections, what was taken arrives once or more often, and in order", async () => {
    const fates = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constant<Fate>("done") },
        { weight: 2, arbitrary: fc.constantFrom<Fate>("request-lost", "answer-lost", code.notLeaderOrFollower) },
      ),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(fates, fc.integer({ min: 1, max: 1_000 }), async (planned, seed) => {
        const { cluster, connect, within } = scene(seed);
        const [asking, answering] = [connect(), connect()];
        const received: string[] = [];
        const address = await within(asking.replies.open(record => void received.push(textOf(record))));
        cluster.fate = call => (call === "produce" || call === "fetch" ? (planned.shift() ?? "done") : "done");
        const taken: string[] = [];
        for (let index = 0; index < 8; index++) {
          const reply = eventRecord(String(index), { topic: address, key: undefined });
          if ((await within(answering.replies.send(reply))) === undefined) taken.push(String(index));
        }
        await within(new Promise<void>(resolve => cluster.clock.after(5_000, resolve)));
        const firsts = [...new Set(received)];
        assert.deepEqual(
          firsts.filter(text => taken.includes(text)),
          taken,
        );
        await within(Promise.all([asking.close(), answering.close()]));
      }),
      { numRuns: 40 },
    );
  });
});
