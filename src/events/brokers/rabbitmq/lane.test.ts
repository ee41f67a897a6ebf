import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import type { Lane, RecordSink } from "../../driver.ts";
import type { StoredRecord } from "../../record.ts";
import type { AmqpDelivery } from "./amqp.ts";
import { FakeChannel } from "./fake-amqp.fixture.ts";
import { RabbitmqLane } from "./lane.ts";
import type { RabbitmqRecord } from "./message.ts";
import { queueNames } from "./names.ts";

function opened({ isOrdered = false, countCrash = async (_record: RabbitmqRecord): Promise<void> => {} } = {}) {
  const platform = virtualPlatform();
  const channel = new FakeChannel();
  const records: StoredRecord[] = [];
  const batches: number[] = [];
  const sink: RecordSink = {
    opened() {},
    records(_lane: Lane, some: readonly StoredRecord[]) {
      records.push(...some);
      batches.push(some.length);
    },
    revoke: async () => {},
    lost() {},
    failed() {},
  };
  const names = queueNames("q");
  const lane = new RabbitmqLane({ names, isOrdered, channel, platform, sink, countCrash });
  const deliver = (tag: number, rest: Partial<AmqpDelivery> = {}) =>
    lane.delivered(
      {
        tag,
        isRedelivered: false,
        exchange: "orders",
        routingKey: "order.created",
        body: Buffer.from(`${tag}`),
        properties: {},
        ...rest,
      },
      "q",
    );
  const places = () => records.map(({ place }) => place);
  const at = (index: number) => records[index] ?? assert.fail(`there is no record ${index}`);
  return { lane, channel, platform, deliver, places, batches, at, settle: () => platform.clock.settle() };
}

describe("a lane", () => {
  it("hands over what came in one turn at once, and acknowledges what was settled in one turn together", async () => {
    const { lane, channel, deliver, batches, at, settle } = opened();
    for (const tag of [1, 2, 3]) deliver(tag);
    await settle();
    assert.deepEqual(batches, [3]);
    for (const index of [2, 0, 1]) lane.settle(at(index));
    await settle();
    assert.deepEqual(channel.acked, [{ tag: 3, isMultiple: true }]);
    lane.settle(at(0));
    await settle();
    assert.equal(channel.acked.length, 1, "nothing is acknowledged twice");
  });

  it("holds deliveries back while it is paused, without leaving its queue", async () => {
    const { lane, channel, deliver, places, settle } = opened();
    lane.pause();
    deliver(1);
    await settle();
    assert.deepEqual(places(), []);
    lane.resume();
    assert.deepEqual(places(), [], "not before resume has returned");
    await settle();
    assert.deepEqual(places(), ["q#1"]);
    assert.deepEqual(channel.requeued, []);
  });

  it("gives back what is released or not begun, where order means nothing", async () => {
    const { lane, channel, deliver, at, settle } = opened();
    deliver(1);
    await settle();
    lane.release(at(0));
    lane.release(at(0));
    deliver(2);
    lane.stop();
    deliver(3);
    assert.deepEqual(channel.requeued, [1, 2, 3]);
  });

  it("gives nothing back one by one where it would lose its place, and hands it over again", async () => {
    const { lane, channel, platform, deliver, places, at, settle } = opened({ isOrdered: true });
    deliver(1);
    await settle();
    lane.release(at(0));
    await platform.clock.advance(5);
    assert.deepEqual(places(), ["q#1", "q#1"]);
    assert.equal(at(0), at(1));
    lane.stop();
    deliver(2);
    lane.release(at(1));
    await platform.clock.advance(10);
    assert.deepEqual(places(), ["q#1", "q#1"]);
    assert.deepEqual(channel.requeued, []);
    lane.settle(at(1));
    await settle();
    assert.deepEqual(channel.acked, [{ tag: 1, isMultiple: true }], "what is in work can still be settled");
  });

  it("says nothing on a dead channel", async () => {
    const { lane, channel, deliver, at, places, settle } = opened();
    deliver(1);
    await settle();
    deliver(2);
    lane.end();
    lane.settle(at(0));
    lane.release(at(0));
    await settle();
    assert.deepEqual(places(), ["q#1"]);
    assert.deepEqual(channel.acked, []);
    assert.deepEqual(channel.requeued, []);
  });

  it("settles only records of its own: those of an earlier channel have the same tags", async () => {
    const [dead, live] = [opened(), opened()];
    dead.deliver(1);
    live.deliver(1);
    await dead.settle();
    await live.settle();
    live.lane.settle(dead.at(0));
    await live.settle();
    assert.deepEqual(live.channel.acked, []);
  });

  it("lets what a crash may have left behind be counted before anybody sees it, unless its queue counts", async () => {
    const counted: string[] = [];
    const { channel, deliver, places, settle } = opened({
      countCrash: async record => void counted.push(record.place),
    });
    deliver(1, { isRedelivered: true });
    deliver(2, { isRedelivered: true, properties: { headers: { "x-delivery-count": 1 } } });
    await settle();
    assert.deepEqual(counted, ["q#1"]);
    assert.deepEqual(places(), ["q#2"]);
    assert.deepEqual(channel.acked, [{ tag: 1, isMultiple: true }]);
  });

  it("gives it back after a while when it could not be counted", async () => {
    const { channel, platform, deliver, places } = opened({
      countCrash: async () => {
        throw new Error("no confirmation");
      },
    });
    deliver(1, { isRedelivered: true });
    await platform.clock.advance(999);
    assert.deepEqual(channel.requeued, []);
    await platform.clock.advance(1);
    assert.deepEqual(channel.requeued, [1]);
    assert.deepEqual(channel.acked, []);
    assert.deepEqual(places(), []);
  });

  it("does not move what is in order, and counts one attempt for it where nobody counts", async () => {
    const { deliver, places, at, settle } = opened({ isOrdered: true });
    deliver(1, { isRedelivered: true });
    await settle();
    assert.deepEqual(places(), ["q#1"]);
    assert.equal(at(0).history.attempts, 1);
  });
});
