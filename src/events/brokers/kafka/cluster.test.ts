import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { Cluster } from "./cluster.ts";
import { code } from "./error-codes.ts";
import { FakeCluster } from "./fake-cluster.fixture.ts";
import { CallError } from "./wire.ts";

const bootstrap = [
  { host: "gone", port: 9_092 },
  { host: "b1", port: 9_092 },
];

function scene() {
  const platform = virtualPlatform();
  const fake = new FakeCluster(platform.clock);
  fake.topic("orders", 2);
  return { fake, clock: platform.clock, cluster: new Cluster(fake.channel(), bootstrap, platform) };
}

describe("the view of the cluster", () => {
  test("a broker that does not answer is passed over", async () => {
    const { fake, clock, cluster } = scene();
    fake.fate = (_call, { host }) => (host === "gone" ? "request-lost" : "done");
    const asked = cluster.refresh(["orders"]);
    await clock.advance(500);
    await asked;
    assert.equal(cluster.topic("orders")?.leaders.length, 2);
    assert.equal(cluster.leaderOf("orders", 1)?.host, "b1");
    assert.equal(cluster.failure, undefined);
  });

  test("when nobody answers, the error names each broker, and status has it until one does", async () => {
    const { fake, clock, cluster } = scene();
    fake.fate = () => "request-lost";
    const asked = assert.rejects(cluster.refresh(["orders"]), /gone: .*; b1: /);
    await clock.advance(500);
    await asked;
    assert.ok(cluster.failure instanceof CallError);
    fake.fate = () => "done";
    const again = cluster.refresh([]);
    await clock.advance(500);
    await again;
    assert.equal(cluster.failure, undefined);
    // What could not be asked before was asked along.
    assert.equal(cluster.topic("orders")?.leaders.length, 2);
  });

  test("questions of one moment are one request, and the next waits a little", async () => {
    const { fake, clock, cluster } = scene();
    const asked = [cluster.refresh(["orders"]), cluster.refresh(["orders"]), cluster.refresh(["billing"])];
    await clock.advance(50);
    assert.equal(fake.calls.get("metadata"), 1);
    await clock.advance(200);
    await Promise.all(asked);
    assert.equal(fake.calls.get("metadata"), 2);
    assert.equal(cluster.topic("billing")?.error, code.unknownTopicOrPartition);
    assert.equal(cluster.topic("billing")?.leaders.length, 0);
  });

  test("an answer that was asked for before a call does not count as its answer", async () => {
    const { fake, clock, cluster } = scene();
    fake.latencyMs = 20;
    const first = cluster.refresh(["orders"]);
    await clock.advance(30);
    await first;
    const second = cluster.refresh(["orders"]);
    await clock.advance(110);
    const [partition] = fake.topics.get("orders")?.partitions ?? [];
    assert.ok(partition !== undefined);
    partition.leader = 2;
    const third = cluster.refresh(["orders"]);
    await clock.advance(500);
    await Promise.all([second, third]);
    assert.equal(cluster.leaderOf("orders", 0)?.host, "b2");
  });

  test("a coordinator is waited for, until nobody wants it any more", async () => {
    const { fake, clock, cluster } = scene();
    let isReady = false;
    fake.fate = call => (call === "findCoordinator" && !isReady ? code.coordinatorNotAvailable : "done");
    const found = cluster.coordinatorOf(fake.channel(), "group", "billing", new AbortController().signal);
    const giving = new AbortController();
    const given = assert.rejects(
      cluster.coordinatorOf(fake.channel(), "group", "billing", giving.signal),
      /nobody waits/,
    );
    await clock.advance(10_000);
    giving.abort();
    await clock.advance(10);
    await given;
    isReady = true;
    await clock.advance(5_000);
    assert.equal((await found).host, "b1");
  });

  test("a group that the user may not use is refused with the right that is missing", async () => {
    const { fake, clock, cluster } = scene();
    fake.fate = call => (call === "findCoordinator" ? code.groupAuthorizationFailed : "done");
    const refused = assert.rejects(
      cluster.coordinatorOf(fake.channel(), "group", "billing", new AbortController().signal),
      /may not consume as group "billing"; allow READ/,
    );
    await clock.advance(100);
    await refused;
  });
});
