import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { VirtualPlatform } from "../../platform/virtual/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import type { IdempotencyClaim, IdempotencyStore, IdempotencyTicket } from "./store.ts";

/** Makes an empty store in the time of a platform. */
export type MakeStore = (platform: VirtualPlatform) => IdempotencyStore;

const leaseMs = 1_000;
const ttlMs = 10_000;

interface TicketChoice {
  readonly key?: string;
  readonly scope?: string;
  readonly body?: number;
}

let holders = 0;

export function ticket({ key = "k", scope = "/s/M\nada", body = 1 }: TicketChoice = {}): IdempotencyTicket {
  const fingerprint = new Uint8Array(32).fill(body);
  return { scope, key, fingerprint, holder: `holder-${++holders}`, leaseMs, ttlMs };
}

/** What every store does. */
export function storeSuite(name: string, make: MakeStore): void {
  describe(name, () => {
    const begin = async (store: IdempotencyStore, one: IdempotencyTicket) => (await store.begin(one)).kind;
    const answer = (text: string) => new TextEncoder().encode(text);

    test("a key is new once, runs until it is completed, and then has its answer", async () => {
      const store = make(virtualPlatform());
      const first = ticket();
      assert.deepEqual(await store.begin(first), { kind: "new", operation: first.holder });
      assert.equal(await begin(store, ticket()), "running");
      assert.equal(await store.complete(first, answer("a")), true);
      const claim = await store.begin(ticket());
      assert.deepEqual(claim.kind === "stored" && [...claim.answer], [...answer("a")]);
      assert.equal(await store.complete(first, answer("b")), false);
      assert.equal(await store.abandon(first), false);
    });

    test("an answer may be empty", async () => {
      const store = make(virtualPlatform());
      const first = ticket();
      await store.begin(first);
      await store.complete(first, new Uint8Array());
      assert.equal(await begin(store, ticket()), "stored");
    });

    test("another request with the key is refused whether the first runs, is done, was abandoned or was lost", async () => {
      const { clock, ...rest } = virtualPlatform();
      const store = make({ clock, ...rest });
      const first = ticket();
      await store.begin(first);
      assert.equal(await begin(store, ticket({ body: 2 })), "mismatch");
      await clock.advance(leaseMs);
      assert.equal(await begin(store, ticket({ body: 2 })), "mismatch");
      await store.abandon(first);
      assert.equal(await begin(store, ticket({ body: 2 })), "mismatch");
      const second = ticket();
      await store.begin(second);
      await store.complete(second, answer("a"));
      assert.equal(await begin(store, ticket({ body: 2 })), "mismatch");
    });

    test("scopes and keys do not meet, however they are put together", async () => {
      const store = make(virtualPlatform());
      for (const [scope, key] of [
        ["a", "bc"],
        ["ab", "c"],
        ["a\n", "bc"],
        ["A", "bc"],
        ["a", "BC"],
        ["ä", "bc"],
        ["a'; DROP TABLE trunkline_idempotency; --", "'\"%_"],
      ] as const) {
        assert.equal(await begin(store, ticket({ scope, key })), "new", `${scope}/${key}`);
        assert.equal(await begin(store, ticket({ scope, key })), "running", `${scope}/${key}`);
      }
    });

    test("an abandoned key is free again for the same operation", async () => {
      const store = make(virtualPlatform());
      const first = ticket();
      await store.begin(first);
      assert.equal(await store.abandon(first), true);
      const second = ticket();
      assert.deepEqual(await store.begin(second), { kind: "new", operation: first.holder });
      assert.equal(await store.renew(first), false);
      assert.equal(await store.renew(second), true);
    });

    test("the key of a holder that is not heard of is free after its lease; what the holder does then has no effect", async () => {
      const platform = virtualPlatform();
      const store = make(platform);
      const lost = ticket();
      await store.begin(lost);
      await platform.clock.advance(leaseMs - 1);
      assert.equal(await store.renew(lost), true);
      await platform.clock.advance(leaseMs - 1);
      assert.equal(await begin(store, ticket()), "running");
      await platform.clock.advance(1);
      const next = ticket();
      assert.deepEqual(await store.begin(next), { kind: "new", operation: lost.holder });
      assert.equal(await store.complete(lost, answer("late")), false);
      assert.equal(await store.complete(next, answer("in time")), true);
      const claim = await store.begin(ticket());
      assert.deepEqual(claim.kind === "stored" && [...claim.answer], [...answer("in time")]);
    });

    test("an answer is kept for its time from the end of the run, and then the key is like a new one", async () => {
      const platform = virtualPlatform();
      const store = make(platform);
      const first = ticket();
      await store.begin(first);
      await platform.clock.advance(leaseMs / 2);
      await store.complete(first, answer("a"));
      await platform.clock.advance(ttlMs - 1);
      assert.equal(await begin(store, ticket()), "stored");
      await platform.clock.advance(1);
      const second = ticket({ body: 2 });
      assert.deepEqual(await store.begin(second), { kind: "new", operation: second.holder });
    });

    test("a run that takes longer than answers are kept still holds its key", async () => {
      const platform = virtualPlatform();
      const store = make(platform);
      const first = ticket();
      await store.begin(first);
      for (let elapsedMs = 0; elapsedMs <= 2 * ttlMs; elapsedMs += leaseMs / 2) {
        await platform.clock.advance(leaseMs / 2);
        assert.equal(await store.renew(first), true);
      }
      assert.equal(await begin(store, ticket()), "running");
    });

    test("of many that begin at once, one is new", async () => {
      const store = make(virtualPlatform());
      const kinds = await Promise.all(Array.from({ length: 50 }, () => begin(store, ticket())));
      assert.equal(kinds.filter(kind => kind === "new").length, 1);
      assert.equal(kinds.filter(kind => kind === "running").length, 49);
    });

    test("it does what a plain model does", { timeout: 60_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), steps => followsModel(make, steps)),
        { numRuns: 150 },
      );
    });
  });
}

type Step =
  | { readonly do: "begin"; readonly key: string; readonly body: number }
  | { readonly do: "renew" | "complete" | "abandon"; readonly ticket: number }
  | { readonly do: "tick"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("begin" as const),
    key: fc.constantFrom("a", "b", "c"),
    body: fc.constantFrom(1, 1, 1, 2),
  }),
  fc.record({ do: fc.constantFrom("renew", "complete", "abandon"), ticket: fc.nat(20) }),
  fc.record({ do: fc.constant("tick" as const), ms: fc.constantFrom(1, leaseMs / 2, leaseMs - 1, leaseMs, ttlMs) }),
);

interface Modelled {
  readonly body: number;
  readonly operation: string;
  holder: string | undefined;
  heldUntil: number;
  keptUntil: number;
  answer: Uint8Array | undefined;
}

/** The same in the plainest way there is. */
class Model {
  readonly entries = new Map<string, Modelled>();
  now = 0;

  begin({ key, fingerprint, holder }: IdempotencyTicket): IdempotencyClaim {
    const body = fingerprint[0] ?? 0;
    let entry = this.entries.get(key);
    const isHeld = entry?.holder !== undefined && entry.heldUntil > this.now;
    if (entry !== undefined && !isHeld && entry.keptUntil <= this.now) entry = undefined;
    if (entry !== undefined && entry.body !== body) return { kind: "mismatch" };
    if (entry?.answer !== undefined) return { kind: "stored", answer: entry.answer };
    if (isHeld) return { kind: "running" };
    const operation = entry?.operation ?? holder;
    const times = { heldUntil: this.now + leaseMs, keptUntil: this.now + ttlMs };
    this.entries.set(key, { body, operation, holder, answer: undefined, ...times });
    return { kind: "new", operation };
  }

  change(kind: "renew" | "complete" | "abandon", { key, holder }: IdempotencyTicket, answer: Uint8Array): boolean {
    const entry = this.entries.get(key);
    if (entry?.holder !== holder || Math.max(entry.heldUntil, entry.keptUntil) <= this.now) return false;
    entry.keptUntil = this.now + ttlMs;
    if (kind === "renew") entry.heldUntil = this.now + leaseMs;
    else entry.holder = undefined;
    if (kind === "complete") entry.answer = answer;
    return true;
  }
}

async function followsModel(make: MakeStore, steps: readonly Step[]): Promise<void> {
  const platform = virtualPlatform();
  const store = make(platform);
  const model = new Model();
  const tickets: IdempotencyTicket[] = [];
  for (const [index, one] of steps.entries()) {
    switch (one.do) {
      case "begin": {
        const begun = ticket(one);
        tickets.push(begun);
        const claim = await store.begin(begun);
        const plain = "answer" in claim ? { ...claim, answer: new Uint8Array(claim.answer) } : claim;
        assert.deepEqual(plain, model.begin(begun), `step ${index}`);
        break;
      }
      case "tick":
        model.now += one.ms;
        await platform.clock.advance(one.ms);
        break;
      default: {
        const chosen = tickets[one.ticket % Math.max(tickets.length, 1)];
        if (chosen === undefined) break;
        const answer = new Uint8Array([index]);
        const done = one.do === "complete" ? store.complete(chosen, answer) : store[one.do](chosen);
        assert.equal(await done, model.change(one.do, chosen, answer), `step ${index}: ${one.do}`);
      }
    }
  }
}
