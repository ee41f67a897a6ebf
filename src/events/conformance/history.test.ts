import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { History, type HistoryEntry, type NumberedEvent } from "./history.ts";

const group = "judge";

function event(number: number, key = "a", producer = "p"): NumberedEvent {
  return { id: `${producer}-${number}`, producer, key, number };
}

const attempted = (one: NumberedEvent): HistoryEntry => ({ what: "attempted", event: one });
const confirmed = ({ id }: NumberedEvent): HistoryEntry => ({ what: "confirmed", id });
const failed = ({ id }: NumberedEvent): HistoryEntry => ({ what: "failed", id });
const delivered = (one: NumberedEvent): HistoryEntry => ({ what: "delivered", group, event: one });
const handled = ({ id }: NumberedEvent): HistoryEntry => ({ what: "handled", group, id });
const published = (one: NumberedEvent) => [attempted(one), confirmed(one)];
const seen = (one: NumberedEvent) => [delivered(one), handled(one)];

type Entries = (HistoryEntry | HistoryEntry[])[];

function historyOf(...entries: Entries): History {
  const history = new History([group]);
  for (const entry of entries.flat()) history.add(entry);
  return history;
}

const verdict = (...entries: Entries) => {
  const { lost, phantom, reordered, duplicates } = historyOf(...entries).judge(group);
  const ids = (events: readonly NumberedEvent[]) => events.map(({ id }) => id);
  return { lost: ids(lost), phantom: ids(phantom), reordered: ids(reordered), duplicates };
};
const clean = { lost: [], phantom: [], reordered: [], duplicates: 0 };
const [one, two, three] = [event(1), event(2), event(3)];

describe("a history of events", () => {
  test("of which all were handled once and in order has nothing wrong with it", () => {
    assert.deepEqual(verdict(published(one), published(two), seen(one), seen(two)), clean);
  });

  test("has lost what was confirmed and never delivered", () => {
    assert.deepEqual(verdict(published(one), published(two), seen(two)), { ...clean, lost: ["p-1"] });
  });

  test("has lost what was delivered and never handled to its end", () => {
    assert.deepEqual(verdict(published(one), delivered(one), delivered(one)), { ...clean, lost: ["p-1"] });
  });

  test("has lost everything for a group that nobody was heard of", () => {
    const history = new History([group, "silent"]);
    for (const entry of [...published(one), ...seen(one)]) history.add(entry);
    assert.deepEqual([history.outstanding(group), history.outstanding("silent")], [0, 1]);
    assert.deepEqual(history.judge("silent").lost, [one]);
  });

  test("may or may not deliver what was not confirmed, at any time", () => {
    assert.deepEqual(verdict(attempted(one), attempted(two), failed(two)), clean);
    assert.deepEqual(
      verdict(attempted(one), published(two), published(three), seen(two), seen(three), seen(one)),
      clean,
    );
    assert.deepEqual(verdict(attempted(one), failed(one), published(two), seen(two), seen(one)), clean);
  });

  test("has a phantom where something is delivered that nobody tried to publish", () => {
    assert.deepEqual(verdict(published(one), seen(one), seen(event(9))), { ...clean, phantom: ["p-9"] });
  });

  test("has a phantom where an id comes with another key or number", () => {
    assert.deepEqual(verdict(published(one), seen({ ...one, key: "b" })), { ...clean, phantom: ["p-1"] });
    assert.deepEqual(verdict(published(one), seen(one), seen({ ...one, number: 7 })), {
      ...clean,
      phantom: ["p-1"],
      duplicates: 1,
    });
  });

  test("is reordered where a first delivery comes behind that of a later event", () => {
    assert.deepEqual(verdict(published(one), published(two), seen(two), seen(one)), { ...clean, reordered: ["p-1"] });
  });

  test("is reordered where a later event is handled before an earlier one is, whatever was delivered first", () => {
    const entries = [published(one), published(two), delivered(one), seen(two), seen(one)];
    assert.deepEqual(verdict(...entries), { ...clean, reordered: ["p-1"] });
  });

  test("is in order when earlier events come again behind later ones", () => {
    assert.deepEqual(verdict(published(one), published(two), seen(one), seen(two), seen(one), seen(two)), {
      ...clean,
      duplicates: 2,
    });
  });

  test("knows no order between keys, nor between producers", () => {
    const [other, stranger] = [event(2, "b"), event(2, "a", "q")];
    assert.deepEqual(
      verdict(published(one), published(other), published(stranger), seen(stranger), seen(other), seen(one)),
      clean,
    );
  });

  test("counts a repeated attempt of a handler that threw as no duplicate", () => {
    assert.deepEqual(verdict(published(one), delivered(one), delivered(one), handled(one)), clean);
  });

  test("may be read consumers first", () => {
    assert.deepEqual(verdict(seen(one), seen(two), published(one), published(two)), clean);
  });

  test("refuses what no recording can hold", () => {
    assert.throws(() => historyOf(attempted(one), attempted(one)), /p-1 is attempted a second time/);
    assert.throws(() => historyOf(confirmed(one)), /p-1 is confirmed and was not attempted/);
    assert.throws(() => historyOf(published(one), failed(one)), /p-1 is confirmed and failed/);
    assert.throws(() => historyOf(handled(one)), /p-1 is handled and was not delivered/);
    assert.throws(() => new History([]).add(delivered(one)), /there is no group "judge"/);
  });
});

/** What a broker that keeps its promises may do: each key in order, and back to an earlier place again and again. */
const faultless = fc
  .record({
    keys: fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 40 }),
    unconfirmed: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
    choices: fc.infiniteStream(fc.nat(99)),
  })
  .map(({ keys, unconfirmed, choices }) => {
    const draw = () => choices.next().value as number;
    const events = keys.map((key, number) => event(number, key));
    const certain = events.filter((_, index) => unconfirmed[index] !== true);
    const entries = events.flatMap((each, index) =>
      unconfirmed[index] === true ? [attempted(each)] : published(each),
    );
    /** For each key, how far its consumer is; it may fall back, never jump ahead. */
    const places = new Map<string, number>();
    const furthest = new Map<string, number>();
    let again = 0;
    const lanes = Map.groupBy(events, ({ key }) => key);
    while ([...lanes].some(([key, lane]) => (furthest.get(key) ?? 0) < lane.length)) {
      const open = [...lanes].filter(([key, lane]) => (furthest.get(key) ?? 0) < lane.length);
      const [key, lane] = open[draw() % open.length] as (typeof open)[number];
      if (draw() < 15) places.set(key, Math.floor(((places.get(key) ?? 0) * draw()) / 100));
      const place = places.get(key) ?? 0;
      const next = lane[place] as NumberedEvent;
      entries.push(delivered(next));
      if (draw() < 15) continue; // it threw, or its process was killed
      entries.push(handled(next));
      if (place < (furthest.get(key) ?? 0)) again++;
      places.set(key, place + 1);
      furthest.set(key, Math.max(furthest.get(key) ?? 0, place + 1));
    }
    return { certain, entries, again };
  });

describe("the judge of histories", () => {
  test("finds nothing wrong with a broker that repeats itself in order, and counts what was repeated", () => {
    fc.assert(
      fc.property(faultless, ({ entries, again }) => {
        assert.deepEqual(verdict(entries), { ...clean, duplicates: again });
      }),
    );
  });

  test("finds each confirmed event that is taken out, and nothing else", () => {
    fc.assert(
      fc.property(faultless, fc.nat(), ({ certain, entries }, choice) => {
        const gone = certain[choice % Math.max(1, certain.length)];
        fc.pre(gone !== undefined);
        const isOfIt = (entry: HistoryEntry) =>
          (entry.what === "delivered" && entry.event.id === gone.id) ||
          (entry.what === "handled" && entry.id === gone.id);
        const { lost, reordered, phantom } = verdict(entries.filter(entry => !isOfIt(entry)));
        assert.deepEqual([lost, reordered, phantom], [[gone.id], [], []]);
      }),
    );
  });

  test("finds each pair of one key whose first times are swapped", () => {
    fc.assert(
      fc.property(faultless, fc.nat(), ({ certain, entries }, choice) => {
        const pairs = [...Map.groupBy(certain, ({ key }) => key).values()].flatMap(lane =>
          lane.slice(1).map((later, index) => [lane[index] as NumberedEvent, later] as const),
        );
        const pair = pairs[choice % Math.max(1, pairs.length)];
        fc.pre(pair !== undefined);
        const [earlier, later] = pair;
        const swapped = new Map([
          [earlier.id, later],
          [later.id, earlier],
        ]);
        const changed = entries.map((entry): HistoryEntry => {
          if (entry.what === "delivered") return delivered(swapped.get(entry.event.id) ?? entry.event);
          return entry.what === "handled" ? handled(swapped.get(entry.id) ?? { ...earlier, id: entry.id }) : entry;
        });
        assert.deepEqual(verdict(changed).reordered, [earlier.id]);
      }),
    );
  });
});
