import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { silentObserver } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { Lane, RecordSink } from "../../driver.ts";
import { AmqpError } from "./amqp.ts";
import { endpoint, FakeAmqp } from "./fake-amqp.fixture.ts";
import { LaneConsumer } from "./lane-consumer.ts";
import { queueNames } from "./names.ts";
import { SupervisedConnection } from "./supervised-connection.ts";

async function consuming({ isOrdered = false, seed = 1 } = {}) {
  const platform = virtualPlatform({ seed });
  const client = new FakeAmqp();
  const observer = silentObserver;
  const endpoints = [endpoint("a")];
  const connection = new SupervisedConnection({ name: "test", client, endpoints, platform, observer });
  await connection.start();
  /** Lanes that were opened and are not lost. */
  const live = new Set<Lane>();
  let opened = 0;
  const sink: RecordSink = {
    opened(lane) {
      opened++;
      live.add(lane);
    },
    records() {},
    revoke: async () => {},
    lost(lane) {
      assert.ok(live.delete(lane), "a lane that was never opened, or is lost already, is lost");
    },
    failed(error) {
      assert.fail(error);
    },
  };
  /** What the next looks at the topology meet. */
  const ensures: Error[] = [];
  const consumer = new LaneConsumer({
    names: queueNames("q"),
    isOrdered,
    prefetch: 10,
    connection,
    platform,
    observer,
    sink,
    ensure: async () => {
      const error = ensures.shift();
      if (error !== undefined) throw error;
    },
    countCrash: async () => {},
  });
  return { platform, client, connection, consumer, live, ensures, lanes: () => opened };
}

describe("a consumer of a lane", () => {
  it("says at start why it cannot be opened, and leaves nothing behind", async () => {
    const { consumer, ensures, live, client, platform } = await consuming();
    ensures.push(new AmqpError("ACCESS_REFUSED - access to queue 'q' refused", 403));
    await assert.rejects(consumer.start(), /the queue "q" cannot be consumed: ACCESS_REFUSED.*set_permissions/);
    client.live[0]?.cut();
    await platform.clock.advance(60_000);
    assert.equal(live.size, 0);
  });

  it("opens another lane when its channel ends, waiting longer each time while that fails", async () => {
    const { consumer, ensures, live, client, platform, lanes } = await consuming();
    await consumer.start();
    const [first] = live;
    ensures.push(...Array.from({ length: 3 }, () => new AmqpError("NOT_FOUND - no exchange 'orders'", 404)));
    client.live[0]?.live?.end(new AmqpError("PRECONDITION_FAILED - delivery acknowledgement timed out", 406));
    await platform.clock.settle();
    assert.equal(live.size, 0);
    await platform.clock.advance(250 + 500 + 1_000);
    assert.equal(ensures.length, 0, "three attempts within the first three pauses");
    await platform.clock.advance(2_000);
    assert.equal(live.size, 1);
    assert.equal(lanes(), 2);
    assert.equal([...live][0]?.name, first?.name);
  });

  it("keeps the place of a single active consumer until it closes", async () => {
    const { consumer, client, live } = await consuming({ isOrdered: true });
    await consumer.start();
    const channel = client.live[0]?.live ?? assert.fail();
    let cancelled = 0;
    channel.cancel = async () => void cancelled++;
    await consumer.stop();
    assert.equal(cancelled, 0);
    assert.equal(channel.isClosed, false);
    await consumer.close();
    assert.equal(channel.isClosed, true);
    assert.equal(live.size, 1, "what the runtime closes itself is not lost to it");
  });

  it("has at most one lane, one when all is well, and none after its end, whatever happens (model)", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constantFrom("cut" as const, "closeChannel" as const, "refuseChannel" as const) }),
      fc.record({ kind: fc.constant("failEnsure" as const), times: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(3_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 25 }), async (seed, steps) => {
        const { consumer, ensures, live, client, platform, connection } = await consuming({ seed });
        await consumer.start();
        for (const one of steps) {
          const [current] = client.live;
          switch (one.kind) {
            case "cut":
              current?.cut();
              break;
            case "closeChannel":
              current?.live?.end(new AmqpError("PRECONDITION_FAILED", 406));
              break;
            case "refuseChannel":
              if (current !== undefined) current.refusesChannel = new AmqpError("no channels left", undefined);
              break;
            case "failEnsure":
              for (let time = 0; time < one.times; time++) ensures.push(new AmqpError("NOT_FOUND", 404));
              break;
            case "advance":
              await platform.clock.advance(one.ms);
              break;
          }
          assert.ok(live.size <= 1);
        }
        ensures.length = 0;
        for (const one of client.live) one.refusesChannel = undefined;
        await platform.clock.advance(60_000);
        assert.equal(live.size, 1);
        const open = client.connections.flatMap(one => one.channels).filter(channel => !channel.isClosed);
        assert.equal(open.length, 1, "no channel is left behind");
        await consumer.close();
        client.live[0]?.cut();
        await platform.clock.advance(60_000);
        assert.equal(client.connections.flatMap(one => one.channels).filter(channel => !channel.isClosed).length, 0);
        await connection.close();
        assert.equal(platform.clock.pendingTimers, 0);
      }),
      { numRuns: 200 },
    );
  });
});
