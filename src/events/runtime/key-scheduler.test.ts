import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { Entry, LaneState } from "./entry.ts";
import { FakeLane, storedRecord } from "./fake-lane.fixture.ts";
import { KeyScheduler } from "./key-scheduler.ts";
import { sliceEvery, sliceMs } from "./limits.ts";
import { ParkedLoad } from "./parked-load.ts";

const owner = { late() {} };

let bodies = 0;

function entryOf(lane: LaneState, key: string | undefined): Entry {
  return new Entry(owner, lane, storedRecord("ledger", key, new Uint8Array(++bodies % 7)), key);
}

/** What can be done to a scheduler; indices choose among what there is. */
const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant("add"), fc.nat(), fc.constantFrom("a", "b", "c", undefined)) },
    { weight: 4, arbitrary: fc.tuple(fc.constant("done"), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("hold"), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("block"), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("detach"), fc.nat()) },
    { weight: 2, arbitrary: fc.tuple(fc.constant("unhold"), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("take"), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("open"), fc.constantFrom("ledger/0", "ledger/1")) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("drop"), fc.nat()) },
  ),
  { maxLength: 200, size: "max" },
);

/** All entries that are not over, in the order of their arrival: what the scheduler's lines have to amount to. */
class Model {
  readonly alive: Entry[] = [];
  readonly detached = new Set<Entry>();

  line(entry: Entry): Entry[] {
    const { name } = entry.lane.lane;
    return this.alive.filter(one => this.#keyOf(one) === this.#keyOf(entry) && one.lane.lane.name === name);
  }

  isKeyless(entry: Entry): boolean {
    return this.detached.has(entry) || entry.record.key === undefined;
  }

  /** Whether an entry could start if there were a place. */
  canStart(entry: Entry): boolean {
    if (entry.state === "running" || entry.state === "held") return false;
    const isHead = this.isKeyless(entry) || this.line(entry)[0] === entry;
    return isHead && (entry.isBlocking || !this.alive.some(one => one.isBlocking && one.lane === entry.lane));
  }

  parked(lane?: LaneState): { readonly records: number; readonly bytes: number } {
    let [records, bytes] = [0, 0];
    for (const entry of this.alive) {
      const head = this.isKeyless(entry) ? entry : this.line(entry)[0];
      if (head?.state !== "held" || (lane !== undefined && head.lane !== lane)) continue;
      records++;
      bytes += entry.bytes;
    }
    return { records, bytes };
  }

  #keyOf(entry: Entry): string | undefined {
    return this.detached.has(entry) ? undefined : entry.record.key;
  }
}

const byPlace = (one: Entry, other: Entry) => one.record.place.localeCompare(other.record.place);
const heldOf = ({ alive }: Model) => alive.filter(({ state }) => state === "held");

test("keys in order, as many at once as there are places, nothing idle that could run, whatever happens", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), commands, (places, script) => {
      const model = new Model();
      const started: Entry[] = [];
      const running: Entry[] = [];
      const { clock } = virtualPlatform();
      const load = new ParkedLoad();
      const scheduler = new KeyScheduler(clock, places, load, entry => {
        assert.equal(entry.state, "running");
        if (!model.isKeyless(entry)) assert.equal(model.line(entry)[0], entry, "the first of its key");
        started.push(entry);
        running.push(entry);
      });
      const lanes: LaneState[] = [];
      const open = (name: string) => {
        const lane = new LaneState(new FakeLane(name));
        scheduler.open(lane);
        lanes.push(lane);
      };
      open("ledger/0");
      const take = (list: Entry[], index: number) => list.splice(index % list.length, 1)[0] as Entry;
      const forget = (entry: Entry) => model.alive.splice(model.alive.indexOf(entry), 1);
      for (const [command, what, key] of script) {
        const index = what as number;
        const held = model.alive.filter(({ state }) => state === "held");
        if (command === "open") {
          const isOpen = lanes.some(({ lane, phase }) => lane.name === what && phase === "open");
          if (!isOpen) open(what as string);
        } else if (command === "add") {
          const entry = entryOf(lanes[index % lanes.length] as LaneState, key as string | undefined);
          if (entry.lane.phase !== "open") continue;
          model.alive.push(entry);
          scheduler.add(entry);
        } else if (command === "drop") {
          const lane = lanes[index % lanes.length] as LaneState;
          lane.phase = "gone";
          const expected = model.alive.filter(entry => entry.lane === lane && entry.state !== "running");
          const dropped = scheduler.drop(lane);
          assert.deepEqual(new Set(dropped), new Set(expected));
          for (const one of ["a", "b", "c"]) {
            const ofKey = (entry: Entry) => entry.record.key === one && !model.detached.has(entry);
            assert.deepEqual(dropped.filter(ofKey), expected.filter(ofKey), "those of a key in their order");
          }
          for (const entry of dropped) forget(entry);
        } else if (command === "unhold") {
          if (held.length > 0) scheduler.unhold(held[index % held.length] as Entry);
        } else if (command === "take") {
          const head = held[index % Math.max(held.length, 1)];
          if (head === undefined) continue;
          const line = model.isKeyless(head) ? [head] : model.line(head);
          if (line.some(({ lane }) => lane !== head.lane)) continue;
          assert.deepEqual(scheduler.take(head), line, "the whole line, in its order");
          for (const entry of line) forget(entry);
        } else if (running.length > 0) {
          const entry = take(running, index);
          if (command === "done") {
            forget(entry);
            scheduler.done(entry);
          } else if (command === "detach") {
            model.detached.add(entry);
            scheduler.detach(entry);
          } else scheduler.hold(entry, command === "block");
        }
        scheduler.dispatch();
        assert.equal(scheduler.running, running.length);
        assert.ok(running.length <= places);
        if (running.length < places)
          assert.equal(
            model.alive.find(entry => model.canStart(entry)),
            undefined,
          );
        assert.deepEqual({ records: load.records, bytes: load.bytes }, model.parked());
        assert.deepEqual([...scheduler.held()].toSorted(byPlace), heldOf(model).toSorted(byPlace));
        for (const lane of lanes) assert.equal(lane.parked, model.parked(lane).records);
        const parkedKeys = model.alive.filter(entry => entry.state === "held" && !model.isKeyless(entry));
        assert.equal(scheduler.parkedKeys, parkedKeys.length);
        for (const lane of lanes) {
          const ofLane = running.filter(entry => entry.lane === lane);
          assert.equal(lane.running, ofLane.length);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("a key with many entries waits behind one with a single one after each of its own", () => {
  const { clock } = virtualPlatform();
  const started: string[] = [];
  let running: Entry | undefined;
  const scheduler = new KeyScheduler(clock, 1, new ParkedLoad(), entry => {
    started.push(entry.key ?? "");
    running = entry;
  });
  const lane = new LaneState(new FakeLane());
  scheduler.open(lane);
  for (let index = 0; index < 3; index++) scheduler.add(entryOf(lane, "many"));
  scheduler.add(entryOf(lane, "one"));
  scheduler.dispatch();
  for (let index = 0; index < 4; index++) {
    scheduler.done(running as Entry);
    scheduler.dispatch();
  }
  assert.deepEqual(started, ["many", "one", "many", "many"]);
});

test("handlers that end at once neither nest nor keep the event loop for themselves", async () => {
  const { clock } = virtualPlatform();
  let ended = 0;
  let depth = 0;
  const scheduler: KeyScheduler = new KeyScheduler(clock, 1, new ParkedLoad(), entry => {
    assert.equal(depth++, 0);
    clock.stall(sliceMs / sliceEvery);
    ended++;
    scheduler.done(entry);
    scheduler.dispatch();
    depth--;
  });
  const lane = new LaneState(new FakeLane());
  scheduler.open(lane);
  for (let index = 0; index < 100_000; index++) scheduler.add(entryOf(lane, "a"));
  scheduler.dispatch();
  assert.ok(ended <= 3 * sliceEvery, `${ended} in one turn`);
  for (let turns = 0; ended < 100_000; turns++) {
    assert.ok(turns < 5_000);
    await clock.settle();
  }
});

test("stale work after re-assignment: a key of a lane that comes back waits for the handler of the lane before", () => {
  const { clock } = virtualPlatform();
  const started: Entry[] = [];
  const scheduler = new KeyScheduler(clock, 4, new ParkedLoad(), entry => started.push(entry));
  const before = new LaneState(new FakeLane("ledger/3"));
  scheduler.open(before);
  const stale = entryOf(before, "a");
  scheduler.add(stale);
  scheduler.dispatch();
  before.phase = "gone";
  scheduler.drop(before);

  const after = new LaneState(new FakeLane("ledger/3"));
  scheduler.open(after);
  const again = entryOf(after, "a");
  const other = entryOf(after, "b");
  scheduler.add(again);
  scheduler.add(other);
  scheduler.dispatch();
  assert.deepEqual(started, [stale, other]);
  scheduler.done(stale);
  scheduler.dispatch();
  assert.deepEqual(started, [stale, other, again]);
});
