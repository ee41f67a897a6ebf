import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { eventsModule, jsonLines, VirtualBroker } from "../virtual-broker.fixture.ts";

/** Orders whose events the group `stock` has given up, in this order; the first three are of one key. */
async function withDead(t: TestContext, orderIds: readonly string[] = ["7", "7", "7", "8", "9"]) {
  const shop = await VirtualBroker.start(t);
  await shop.member("stock");
  for (const [index, orderId] of orderIds.entries()) {
    await shop.publish(orderId);
    await shop.when("it is dead", async () => (await shop.letters()).length === index + 1);
  }
  return shop;
}

async function idsOf(shop: VirtualBroker): Promise<readonly string[]> {
  return (await Array.fromAsync(shop.broker.deadLetters())).map(({ letterId }) => letterId);
}

test("list shows a line for each, with why it died", async t => {
  const shop = await withDead(t, ["7", "8"]);
  const { exitCode, out } = await shop.cli(["dead-letters", "list"]);
  assert.equal(exitCode, 0);
  const lines = out.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.match(
    lines[0] ?? "",
    /^[0-9a-f-]{36} 2026-01-01T00:00:\S+Z stock orders order\.created 7 discarded \(1 attempt\): Discard: no stock for 7$/,
  );
});

test("filters hold at once, and an empty list is no failure", async t => {
  const shop = await withDead(t);
  const list = async (...args: readonly string[]) =>
    jsonLines(await shop.cli(["dead-letters", "list", "--json", ...args])).map(({ key }) => key);
  assert.deepEqual(await list(), ["7", "7", "7", "8", "9"]);
  assert.deepEqual(await list("--key", "7", "--limit", "2"), ["7", "7"]);
  assert.deepEqual(await list("--key", "7", "--type", "order.cancelled"), []);
  assert.deepEqual(await list("--group", "billing"), []);
  assert.deepEqual(await list("--topic", "orders", "--reason", "discarded", "--since", "1h"), [
    "7",
    "7",
    "7",
    "8",
    "9",
  ]);
  assert.deepEqual(await list("--since", "2026-01-02"), []);
  const [, , , fourth] = await idsOf(shop);
  assert.deepEqual(await list(fourth as string), ["8"]);
  const { exitCode, out, error } = await shop.cli(["dead-letters", "list", "--reason", "expired"]);
  assert.deepEqual({ exitCode, out, error }, { exitCode: 0, out: "", error: "no dead letters\n" });
});

test("show tells all of one, its body read by the contract", async t => {
  const shop = await withDead(t, ["7"]);
  const [id] = await idsOf(shop);
  const { exitCode, out } = await shop.cli(["dead-letters", "show", id as string, "-c", eventsModule]);
  assert.equal(exitCode, 0);
  assert.match(out, new RegExp(`^letter id: +${id}$`, "m"));
  assert.match(out, /^contract: +order\.OrderCreated$/m);
  assert.match(out, /^exception:\n {2}Discard: no stock for 7\n {2} {4}at /m);
  assert.match(out, /^body:\n {2}\{\n {4}"event_type": "",\n {4}"order_id": "7",/m);
  assert.doesNotMatch(out, /^problem:/m);
  const [view] = jsonLines(await shop.cli(["dead-letters", "show", id as string, "--json"]));
  assert.equal((view as { body: { order_id?: string } }).body.order_id, "7");
  assert.equal(view?.held_against, "order.OrderCreated");
});

test("replay of one gives back that one, with fresh attempts", async t => {
  const shop = await withDead(t);
  shop.isFailing = false;
  const [, , , fourth] = await idsOf(shop);
  const { exitCode, out, error } = await shop.cli(["dead-letters", "replay", fourth as string]);
  assert.equal(exitCode, 0);
  assert.match(out, new RegExp(`^replayed ${fourth} .*\n$`));
  assert.equal(error, "1 replayed\n");
  await shop.when("it was handled", () => shop.handled.length === 1);
  assert.deepEqual(shop.handled, ["8"]);
  assert.deepEqual(await shop.letters(), ["7", "7", "7", "9"]);
});

test("replay of a key gives back its whole sequence in order, and nothing else", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.member("stock");
  for (const [index, id] of ["a", "b", "c"].entries()) {
    const { exitCode } = await shop.cli(
      ["events", "publish", "order.created", "-c", eventsModule, "--key", "7", "--id", id],
      {},
      Buffer.from(JSON.stringify({ order_id: id })),
    );
    assert.equal(exitCode, 0);
    await shop.when("it is dead", async () => (await shop.letters()).length === index + 1);
  }
  await shop.publish("8");
  await shop.when("it is dead", async () => (await shop.letters()).length === 4);
  shop.isFailing = false;
  const { exitCode } = await shop.cli(["dead-letters", "replay", "--group", "stock", "--key", "7"]);
  assert.equal(exitCode, 0);
  await shop.when("they were handled", () => shop.handled.length === 3);
  assert.deepEqual(shop.handled, ["a", "b", "c"]);
  assert.deepEqual(await shop.letters(), ["8"]);
});

test("what is replayed and dies again does not come round", async t => {
  const shop = await withDead(t, ["7", "8"]);
  const before = await idsOf(shop);
  // Each is dead again before the next one is replayed.
  const { exitCode, error } = await shop.cli(["dead-letters", "replay", "--all", "--rate", "2"]);
  assert.equal(exitCode, 0);
  assert.equal(error, "2 replayed\n");
  await shop.when("both are dead again", async () => (await shop.letters()).length === 2);
  assert.ok((await idsOf(shop)).every(id => !before.includes(id)));
});

test("--rate lets so many begin each second", async t => {
  const shop = await withDead(t);
  shop.isFailing = false;
  await shop.cli(["dead-letters", "list"]);
  const { clock } = shop.platform;
  const times: number[] = [];
  const out = (text: string) => {
    if (text.startsWith("replayed")) times.push(clock.now());
  };
  await shop.cli(["dead-letters", "replay", "--all", "--rate", "4"], { out });
  assert.equal(times.length, 5);
  for (const [index, time] of times.entries()) {
    if (index > 0) assert.ok(time - (times[index - 1] as number) >= 249, times.join(" "));
  }
  assert.ok((times[4] as number) - (times[0] as number) < 1_100, times.join(" "));
});

test("--dry-run changes nothing and tells what could not be read even now", async t => {
  const shop = await withDead(t, ["7"]);
  shop.isFailing = false;
  const [id] = await idsOf(shop);
  const good = await shop.cli(["dead-letters", "replay", "--all", "--dry-run", "-c", eventsModule]);
  assert.equal(good.exitCode, 0);
  assert.match(good.out, new RegExp(`^would replay ${id} .*; readable as order.OrderCreated\n$`));
  assert.equal(good.error, "1 would be replayed\n");
  await shop.cli(["dead-letters", "edit", id as string, "--type", "order.shipped"]);
  const bad = await shop.cli(["dead-letters", "replay", "--all", "--dry-run", "-c", eventsModule]);
  assert.match(bad.out, /; it would die again: no contract knows it: its type is "order\.shipped"\n$/);
  assert.deepEqual(await shop.letters(), ["7"]);
  assert.deepEqual(shop.handled, []);
});

test("an ended replay says how far it came and leaves the rest", async t => {
  const shop = await withDead(t);
  shop.isFailing = false;
  const ending = new AbortController();
  const { exitCode, error } = await shop.cli(["dead-letters", "replay", "--all", "--rate", "1"], {
    signal: ending.signal,
    out: () => ending.abort(),
  });
  assert.equal(exitCode, 1);
  assert.equal(error, "trunkline dead-letters replay: stopped: 1 replayed, the others are as they were\n");
  assert.equal((await shop.letters()).length, 4);
});

test("where one cannot be replayed, the later ones of its key stay and the others go on", async t => {
  const shop = await withDead(t);
  shop.isFailing = false;
  const [, second] = await Array.fromAsync(shop.broker.deadLetters());
  // Somebody else takes the second of the key away, while it waits for its turn.
  const out = (text: string) => {
    if (shop.handled.length === 0 && text.startsWith("replayed"))
      shop.platform.clock.after(500, () => void second?.discard());
  };
  const { exitCode, error } = await shop.cli(["dead-letters", "replay", "--all", "--rate", "1"], { out });
  assert.equal(exitCode, 1);
  assert.match(error, /^not replayed: \S+ of stock: memory: group stock has no dead letter \S+ any more\n/);
  assert.match(error, /: 3 replayed, 1 could not be, 1 left behind one of their key that did not; the same command/);
  assert.deepEqual(await shop.letters(), ["7"]);
  assert.deepEqual(shop.handled, ["7", "8", "9"]);
});

test("a long replay shows its progress to who watches, in one line that goes away", async t => {
  const shop = await withDead(t);
  shop.isFailing = false;
  const { exitCode, out, error } = await shop.cli(["dead-letters", "replay", "--all", "--rate", "4"], {
    isWatched: true,
  });
  assert.equal(exitCode, 0);
  assert.equal(out, "");
  assert.match(error.replaceAll("\r\x1b[K", "<"), /^(<[0-9]+ replayed)+<5 replayed\n$/);
});

test("discard asks, and does nothing without a yes", async t => {
  const shop = await withDead(t);
  const questions: string[] = [];
  const answering = (answer: string | undefined) => ({
    ask: async (question: string) => {
      questions.push(question);
      return answer;
    },
  });
  const command = ["dead-letters", "discard", "--key", "7"];
  const no = await shop.cli(command, answering("no"));
  assert.equal(no.exitCode, 1);
  assert.match(no.error, /trunkline dead-letters discard: nothing was deleted\n$/);
  const nobody = await shop.cli(command, answering(undefined));
  assert.equal(nobody.exitCode, 2);
  assert.match(nobody.error, /there is nobody to ask; say --yes, or look with --dry-run/);
  const dry = await shop.cli([...command, "--dry-run"], answering("never asked"));
  assert.equal(dry.error, "3 would be deleted\n");
  assert.deepEqual(await shop.letters(), ["7", "7", "7", "8", "9"]);
  const yes = await shop.cli(command, answering("y"));
  assert.equal(yes.exitCode, 0);
  assert.match(yes.error, /3 deleted\n$/);
  assert.deepEqual(await shop.letters(), ["8", "9"]);
  assert.deepEqual(new Set(questions), new Set(["Delete these 3 dead letters for ever? [y/N] "]));
  assert.equal(questions.length, 3);
  await shop.cli(["dead-letters", "discard", "--all", "--yes"]);
  assert.deepEqual(await shop.letters(), []);
});

test("edit corrects type, key and headers, so that a replay can succeed", async t => {
  const shop = await withDead(t, ["7"]);
  const [id] = await idsOf(shop);
  const change = ["--type", "order.cancelled", "--key", "70", "--header", "Tenant=acme=1", "-H", "debug=1"];
  const first = await shop.cli(["dead-letters", "edit", id as string, ...change]);
  assert.equal(first.exitCode, 0, first.error);
  assert.match(first.out, / stock orders order\.cancelled 70 discarded /);
  const again = await shop.cli(["dead-letters", "edit", id as string, "--remove-header", "Debug", "--json"]);
  const [view] = jsonLines(again);
  assert.deepEqual(view?.headers, { tenant: "acme=1" });
  shop.isFailing = false;
  await shop.cli(["dead-letters", "replay", id as string]);
  await shop.when("it was handled", () => shop.handled.length === 1);
});

test("a body and an exception from elsewhere do not command the terminal", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.member("stock");
  const hostile = "\x1b]0;mine\x07\x9b31m\u202e";
  const publish = [
    "events",
    "publish",
    "order.created",
    "--topic",
    "orders",
    "--key",
    hostile,
    "--header",
    `h=${hostile}`,
  ];
  assert.equal((await shop.cli(publish, {}, Buffer.from(hostile))).exitCode, 0);
  await shop.when("it is dead", async () => (await shop.letters()).length === 1);
  const [id] = await idsOf(shop);
  for (const command of [
    ["list"],
    ["list", "--json"],
    ["show", id as string],
    ["show", id as string, "-c", eventsModule],
    ["show", id as string, "--json"],
    ["replay", "--all", "--dry-run", "-c", eventsModule],
    ["edit", id as string, "--header", "x=y"],
    ["discard", "--all", "--yes"],
  ]) {
    const { exitCode, out, error } = await shop.cli(["dead-letters", ...command]);
    assert.equal(exitCode, 0, error);
    assert.match(out, /mine/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(out + error, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  }
});

test("what makes no sense or cannot be done is said in one line, with the way out", async t => {
  const shop = await withDead(t, ["7"]);
  const lines: readonly (readonly [0 | 1 | 2, readonly string[], RegExp])[] = [
    [2, ["replay"], /name the ids, choose with --group, --key and others, or say --all/],
    [2, ["replay", "--limit", "5"], /name the ids/],
    [2, ["discard", "--yes"], /name the ids/],
    [2, ["replay", "--all", "--rate", "0"], /--rate is "0"; it must be a number above 0/],
    [2, ["list", "--since", "soon"], /--since is "soon"; it must be a time ago such as 15m, or a date/],
    [2, ["list", "--limit", "x"], /--limit is "x"; it must be a whole number from 1/],
    [2, ["list", "--reason", "bad"], /--reason is "bad"; it can be attempts, discarded/],
    [2, ["show"], /name the id of a dead letter/],
    [1, ["show", "nope"], /there is no dead letter nope \(any more\); trunkline dead-letters list shows/],
    [1, ["replay", "nope"], /there is no dead letter nope/],
    [1, ["edit", "nope", "--type", "a"], /there is no dead letter nope/],
    [2, ["edit", "nope"], /say what to change: --type, --key, --header or --remove-header/],
    [2, ["edit", "a", "b", "--type", "c"], /name the id of one dead letter/],
    [2, ["edit", "a", "--header", "ce_id=1"], /the header ce_id is Trunkline's own/],
    [2, ["edit", "a", "--header", "novalue"], /--header is "novalue"; it must be name=value/],
    [2, ["edit", "a", "--header", "a=1", "--remove-header", "A"], /the header a is both set and removed/],
    [2, ["edit", "a", "--type", "a b"], /--type is "a b"/],
    [1, ["list", "-c", "nowhere"], /nowhere does not exist/],
  ];
  for (const [expectedCode, args, expected] of lines) {
    const { exitCode, error } = await shop.cli(["dead-letters", ...args]);
    assert.equal(exitCode, expectedCode, error);
    assert.match(error, expected);
    assert.match(error.replace(/^0 replayed\n/, ""), /^trunkline dead-letters[^\n]*\n$/, "one line");
  }
});
