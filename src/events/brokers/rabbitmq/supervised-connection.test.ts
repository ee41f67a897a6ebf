import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { type AmqpConnection, AmqpError } from "./amqp.ts";
import { endpoint, FakeAmqp, type FakeConnection } from "./fake-amqp.fixture.ts";
import { SupervisedConnection } from "./supervised-connection.ts";

const refused = () => Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
const wrongPassword = () => new AmqpError("ACCESS_REFUSED - Login was refused", 403);

function supervised(hosts: readonly string[], seed = 1) {
  const platform = virtualPlatform({ seed });
  const client = new FakeAmqp();
  const connection = new SupervisedConnection({
    name: "test",
    client,
    endpoints: hosts.map(host => endpoint(host)),
    platform,
    observer: silentObserver,
  });
  const heard: string[] = [];
  connection.listen({
    up: () => heard.push("up"),
    down: () => heard.push("down"),
    blocked: reason => heard.push(`blocked ${reason}`),
    unblocked: () => heard.push("unblocked"),
  });
  return { connection, client, platform, heard };
}

describe("a supervised connection", () => {
  it("fails at start when no host can be reached, after each was tried once", async () => {
    const { connection, client } = supervised(["a", "b", "c"]);
    client.plan.push(refused(), wrongPassword(), refused());
    await assert.rejects(connection.start(), /refused the login of the user "guest".*loopback/);
    assert.deepEqual([...client.attempts].sort(), ["a:5672", "b:5672", "c:5672"]);
    await connection.start();
    assert.ok(connection.connection);
  });

  it("goes to another host at once when the connection is lost, and waits between rounds", async () => {
    const { connection, client, platform, heard } = supervised(["a", "b"]);
    await connection.start();
    await platform.clock.advance(60_000);
    client.plan.push(refused(), refused(), refused(), refused());
    client.connections[0]?.cut();
    await platform.clock.settle();
    assert.equal(client.attempts.length, 3, "one round without waiting");
    assert.match(connection.trouble ?? "", /refuses connections/);
    await platform.clock.advance(250);
    assert.equal(client.attempts.length, 5, "the second after at most 250 ms");
    await platform.clock.advance(500);
    assert.deepEqual(heard, ["up", "down", "up"]);
    assert.equal(connection.trouble, undefined);
  });

  it("lets waiters have the next connection, for so long and no longer", async () => {
    const { connection, client, platform } = supervised(["a"]);
    await connection.start();
    await platform.clock.advance(60_000);
    client.plan.push(...Array.from({ length: 4 }, refused));
    client.connections[0]?.cut();
    const patient = connection.whenUp(60_000);
    const impatient = assert.rejects(connection.whenUp(100), /no connection within 100 ms: .*refuses connections/);
    await platform.clock.advance(100);
    await impatient;
    await platform.clock.advance(10_000);
    assert.equal(await patient, client.connections[1]);
    assert.equal(platform.clock.pendingTimers, 0);
  });

  it("does not spin when connections are accepted and dropped at once", async () => {
    const { connection, client, platform } = supervised(["a"]);
    await connection.start();
    for (let time = 0; time < 200; time++) {
      client.live[0]?.cut();
      await platform.clock.advance(100);
    }
    assert.ok(client.attempts.length < 20, `${client.attempts.length} attempts in 20 s`);
  });

  it("says why nothing can be sent while the broker blocks", async () => {
    const { connection, client, heard } = supervised(["a"]);
    await connection.start();
    client.connections[0]?.handler.blocked("low on memory");
    assert.match(connection.trouble ?? "", /low on memory/);
    client.connections[0]?.handler.unblocked();
    assert.equal(connection.trouble, undefined);
    assert.deepEqual(heard, ["up", "blocked low on memory", "unblocked"]);
  });

  it("closes while it connects, and leaves no connection behind", async () => {
    const { connection, client, platform } = supervised(["a"]);
    const starting = connection.start();
    await connection.close();
    await starting;
    await platform.clock.advance(60_000);
    assert.deepEqual(client.live, []);
    await assert.rejects(connection.whenUp(10), /closed/);
  });

  it("has at most one connection, alternates up and down, and comes back, whatever happens (model)", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(5_000) }),
      fc.record({ kind: fc.constant("cut" as const) }),
      fc.record({ kind: fc.constant("plan" as const), fails: fc.array(fc.boolean(), { maxLength: 5 }) }),
      fc.record({ kind: fc.constant("block" as const) }),
      fc.record({ kind: fc.constant("wait" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { maxLength: 30 }),
        async (seed, hosts, steps) => {
          const { connection, client, platform, heard } = supervised(
            Array.from({ length: hosts }, (_, index) => `h${index}`),
            seed,
          );
          const waits: Promise<AmqpConnection | undefined>[] = [];
          await connection.start();
          for (const one of steps) {
            switch (one.kind) {
              case "advance":
                await platform.clock.advance(one.ms);
                break;
              case "cut":
                client.live[0]?.cut();
                break;
              case "plan":
                client.plan.push(...one.fails.map(fails => (fails ? refused() : ("ok" as const))));
                break;
              case "block":
                client.live[0]?.handler.blocked("memory");
                break;
              case "wait":
                waits.push(connection.whenUp(1_000_000).catch(() => undefined));
                break;
            }
            await platform.clock.settle();
            assert.ok(client.live.length <= 1);
            assert.equal(connection.connection, client.live[0]);
            const changes = heard.filter(word => word === "up" || word === "down");
            for (const [index, word] of changes.entries()) assert.equal(word, index % 2 === 0 ? "up" : "down");
          }
          client.plan.length = 0;
          await platform.clock.advance(20_000);
          assert.equal(client.live.length, 1, "it has come back within the longest back-off");
          for (const waited of waits) assert.ok((await waited) as FakeConnection | undefined);
          await connection.close();
          await platform.clock.advance(60_000);
          assert.equal(client.live.length, 0);
          assert.equal(platform.clock.pendingTimers, 0);
        },
      ),
      { numRuns: 200 },
    );
  });
});
