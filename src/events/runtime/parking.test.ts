import assert from "node:assert/strict";
import { test } from "node:test";
import { RetryLater } from "../errors.ts";
import type { StoredRecord } from "../record.ts";
import { ConsumerScene, placedRecord } from "./consumer.fixture.ts";
import { FakeLane } from "./fake-lane.fixture.ts";
import { FakePlace } from "./fake-place.fixture.ts";
import type { EventsParked } from "./observed.ts";

class ParkingLane extends FakeLane {
  readonly parking: FakePlace;

  constructor(place = new FakePlace()) {
    super("ledger/0");
    this.parking = place;
  }
}

/** A consumer whose buffer has room for ten parked events, and a lane with a parking place. */
function parkingScene(handle: (account: string, number: number, attempt: number) => unknown, lane = new ParkingLane()) {
  const runs: string[] = [];
  const scene = new ConsumerScene(
    ({ account, number }, { attempt }) => {
      runs.push(`${account}${number}`);
      return handle(account, number, attempt);
    },
    { limits: { recordsMax: 20, bytesMax: 1_000_000, parkedMax: 10, parkedBytesMax: 500_000 } },
  );
  scene.consumer.opened(lane);
  let position = 0;
  const deliver = (account: string, ...numbers: number[]): readonly StoredRecord[] =>
    numbers.map(number => {
      const record = lane.parking.at(placedRecord(account, number), ++position);
      scene.consumer.records(lane, [record]);
      return record;
    });
  return { scene, lane, place: lane.parking, runs, deliver, clock: scene.platform.clock };
}

const failing = (account: string) => {
  if (account === "a") throw new Error("no");
};
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("the oldest sequence moves when parked events take their share; its originals are settled when the broker has them", async () => {
  const { scene, lane, place, runs, deliver, clock } = parkingScene(failing);
  const records = [...deliver("a", ...upTo(9))];
  assert.equal(scene.consumer.stats().parkedEvents, 9);
  await clock.settle();
  assert.equal(place.rows.length, 0);
  records.push(...deliver("a", 10));
  await clock.settle();
  assert.deepEqual(
    place.rows.map(({ key, record }) => `${key} ${record.history.attempts} ${record.place}`),
    lane.settled.map((record, index) => `a ${index === 0 ? 1 : 0} ${record.place}`),
  );
  assert.deepEqual(lane.settled, records);
  assert.equal(place.rows.length, 10);
  const { parkedEvents, parkedAtBroker, parkedKeys, waiting } = scene.consumer.stats();
  assert.deepEqual([parkedEvents, parkedAtBroker, parkedKeys, waiting], [10, 10, 1, 0]);
  const [event] = scene.seen("events.parked") as EventsParked[];
  assert.deepEqual([event?.lane, event?.events, event?.keys], ["ledger/0", 10, 1]);
  // Other keys flow, and what comes of this one goes there too.
  deliver("b", 1);
  deliver("a", 11);
  await clock.settle();
  assert.deepEqual(runs.slice(-1), ["b1"]);
  assert.equal(place.rows.length, 11);
  assert.equal(lane.isPaused, false);
});

test("a parked key comes back when it is due, in order, more at a time as they succeed, and then flows from its lane again", async () => {
  let isBroken = true;
  const { scene, lane, place, runs, deliver, clock } = parkingScene(account => {
    if (isBroken) failing(account);
  });
  deliver("a", ...upTo(12));
  await clock.advance(15);
  isBroken = false;
  await clock.advance(5_000);
  assert.deepEqual(
    runs.slice(-12),
    upTo(12).map(number => `a${number}`),
  );
  assert.deepEqual(place.rows, []);
  const { parkedEvents, parkedKeys, parkedAtBroker, waiting } = scene.consumer.stats();
  assert.deepEqual([parkedEvents, parkedKeys, parkedAtBroker, waiting], [0, 0, 0, 0]);
  const [direct] = deliver("a", 13);
  assert.equal(runs.at(-1), "a13");
  assert.equal(lane.settled.at(-1), direct);
});

test("a parked event that fails again waits at the broker with its history, and is a dead letter after its attempts", async () => {
  const { scene, place, runs, deliver, clock } = parkingScene((account, number) => {
    if (number === 1) failing(account);
  });
  deliver("a", ...upTo(10));
  await clock.advance(20);
  assert.equal(place.rows[0]?.record.history.attempts, 2);
  assert.equal(scene.consumer.stats().waiting, 0, "nothing of it is in memory");
  await clock.advance(60_000);
  assert.equal(scene.broker.dead[0]?.details.attempts, 4);
  assert.deepEqual(runs, [
    "a1",
    "a1",
    "a1",
    "a1",
    ...upTo(10)
      .slice(1)
      .map(number => `a${number}`),
  ]);
});

test("a sequence moves after ten minutes, however few they are", async () => {
  const { place, lane, deliver, clock } = parkingScene((_account, number, attempt) => {
    if (number === 1 && attempt === 0) throw new RetryLater(3_600_000);
  });
  deliver("a", 1, 2);
  await clock.advance(599_000);
  assert.deepEqual(place.rows, []);
  await clock.advance(2_000);
  assert.equal(place.rows.length, 2);
  assert.equal(lane.settled.length, 2);
  await clock.advance(2_998_000);
  assert.equal(place.rows.length, 2);
  await clock.advance(3_000);
  assert.deepEqual(place.rows, [], "and comes back when it is due");
});

test("what a lane delivers again after a crash is settled when it is parked already or was done with before", async () => {
  const place = new FakePlace([{ key: "a", records: 1, dueAtMs: Number.MAX_SAFE_INTEGER }], 3);
  const { lane, runs, deliver, clock } = parkingScene(() => {}, new ParkingLane(place));
  const again = deliver("a", 1, 2, 3);
  await clock.settle();
  assert.deepEqual(lane.settled, again);
  assert.deepEqual(place.rows, []);
  deliver("a", 4);
  deliver("b", 5);
  await clock.settle();
  assert.deepEqual(
    place.rows.map(({ key }) => key),
    ["a"],
    "what is new goes behind it",
  );
  assert.deepEqual(runs, ["b5"]);
});

test("while the broker takes nothing the lane pauses, and nothing is lost or changes places", async () => {
  let isBroken = true;
  const { scene, lane, place, runs, deliver, clock } = parkingScene(account => {
    if (isBroken) failing(account);
  });
  place.failure = new Error("no connection");
  deliver("a", ...upTo(12));
  await clock.advance(100);
  assert.equal(lane.isPaused, true);
  assert.deepEqual(lane.settled, []);
  assert.ok(scene.seen("events.parking.failed").length > 0);
  place.failure = undefined;
  isBroken = false;
  await clock.advance(60_000);
  assert.equal(lane.isPaused, false);
  assert.deepEqual(
    runs.slice(-12),
    upTo(12).map(number => `a${number}`),
  );
});

test("a place without room keeps the lane paused, as if there were none", async () => {
  const { lane, place, deliver, clock } = parkingScene(failing);
  place.room = 0;
  deliver("a", ...upTo(10));
  await clock.settle();
  assert.deepEqual([place.rows.length, lane.isPaused], [0, true]);
});

test("a drain waits for a write that is on its way, and gives back what is not", async () => {
  const { scene, lane, place, deliver, clock } = parkingScene(failing);
  let goOn = () => {};
  place.until = new Promise(resolve => {
    goOn = resolve;
  });
  const records = deliver("a", ...upTo(10));
  const later = deliver("a", 11, 12);
  scene.consumer.stop();
  assert.deepEqual(lane.released, later);
  const idle = scene.consumer.idle(10_000);
  await clock.advance(1_000);
  goOn();
  assert.equal(await idle, true);
  assert.deepEqual(lane.settled, records);
});

test("events without a key are parked each by itself", async () => {
  const { place, clock, scene, lane } = parkingScene(() => {
    throw new RetryLater(700_000);
  });
  const records = upTo(10).map(number => place.at({ ...placedRecord("", number), key: undefined }, number));
  scene.consumer.records(lane, records);
  await clock.settle();
  assert.equal(new Set(place.rows.map(({ key }) => key)).size, place.rows.length);
  assert.ok(place.rows.length > 0);
});
