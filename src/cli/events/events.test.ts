import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { run } from "../recorded-terminal.fixture.ts";
import { eventsModule, jsonLines, VirtualBroker } from "../virtual-broker.fixture.ts";

const root = process.cwd();
const contract = ["--contract", eventsModule];
const body = (value: object) => Buffer.from(JSON.stringify(value));

test("publish with a contract takes topic, key and dialect from it, and consumers get the event", async t => {
  const shop = await VirtualBroker.start(t);
  shop.isFailing = false;
  await shop.member("stock");
  const published = await shop.cli(
    ["events", "publish", "order.created", ...contract, "--header", "tenant=acme", "--json"],
    {},
    body({ order_id: "123", total: 9.99 }),
  );
  const [line] = jsonLines(published);
  assert.deepEqual(
    { ...line, id: "" },
    { id: "", topic: "orders", type: "order.created", key: "123", content_type: "application/json" },
  );
  await shop.when("it was handled", () => shop.handled.length === 1);
  assert.deepEqual(shop.handled, ["123"]);
});

test("publish refuses what breaks the contract, before anything is published", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1");
  const lines: readonly (readonly [string, RegExp])[] = [
    ["{", /the body is no order\.OrderCreated: /],
    ['{"order_id":"1","totl":2}', /the body is no order\.OrderCreated: .*totl/],
    ['{"order_id":1}', /the body is no order\.OrderCreated: order_id: /],
  ];
  for (const [text, expected] of lines) {
    const { exitCode, error } = await shop.cli(["events", "publish", "order.created", ...contract, "--body", text]);
    assert.equal(exitCode, 1);
    assert.match(error, expected);
  }
  const several = await shop.cli(
    ["events", "publish", "order.created", ...contract, "--lines"],
    {},
    Buffer.from('{"order_id":"1"}\n{"order_id":[]}\n'),
  );
  assert.equal(several.exitCode, 1);
  assert.match(several.error, /line 2: the body is no order\.OrderCreated: order_id: .*; nothing was published\n$/);
  const all = await shop.cli(["events", "tail", "orders", "--from", "beginning", "--idle", "1s"]);
  assert.equal(all.out.trim().split("\n").length, 1);
});

test("publish of lines keeps their order, and writes protobuf where that is asked for", async t => {
  const shop = await VirtualBroker.start(t);
  shop.isFailing = false;
  await shop.member("stock");
  const ids = Array.from({ length: 2_500 }, (_, index) => String(index));
  const lines = ids.map(id => JSON.stringify({ order_id: id })).join("\r\n");
  const { exitCode, out } = await shop.cli(
    [
      "events",
      "publish",
      "order.created",
      ...contract,
      "--lines",
      "--key",
      "k",
      "--content-type",
      "application/protobuf",
    ],
    {},
    Buffer.from(`${lines}\n\n`),
  );
  assert.equal(exitCode, 0);
  assert.equal(out.trim().split("\n").length, ids.length);
  await shop.when("all were handled", () => shop.handled.length === ids.length);
  assert.deepEqual(shop.handled, ids);
});

test("publish without a contract sends the body as it is", async t => {
  const shop = await VirtualBroker.start(t);
  const bytes = Buffer.from([0, 255, 1]);
  const options = [
    "--topic",
    "raw",
    "--content-type",
    "application/octet-stream",
    "--key",
    "k",
    "--id",
    "one",
    "--source",
    "/me",
  ];
  const missing = await shop.cli(["events", "publish", "thing.seen", ...options], {}, bytes);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.error, /no topic "?raw.*; --create-topic makes it\n$/);
  const { exitCode } = await shop.cli(["events", "publish", "thing.seen", ...options, "--create-topic"], {}, bytes);
  assert.equal(exitCode, 0);
  const [event] = jsonLines(await shop.cli(["events", "tail", "raw", "--from", "beginning", "--limit", "1", "--json"]));
  const { topic, key, id, source, type, content_type, body_base64 } = event as Record<string, unknown>;
  assert.deepEqual(
    { topic, key, id, source, type, content_type, body_base64 },
    {
      topic: "raw",
      key: "k",
      id: "one",
      source: "/me",
      type: "thing.seen",
      content_type: "application/octet-stream",
      body_base64: bytes.toString("base64"),
    },
  );
});

test("--dry-run publishes nothing", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1");
  const dry = await shop.cli(
    ["events", "publish", "order.created", ...contract, "--dry-run"],
    {},
    body({ order_id: "2" }),
  );
  assert.match(dry.out, /^would publish \S+ on orders: order\.created 2 \{"event_type":"","order_id":"2",.*\}\n$/);
  const all = await shop.cli(["events", "tail", "orders", "--from", "beginning", "--idle", "1s"]);
  assert.equal(all.out.trim().split("\n").length, 1);
});

test("tail shows what comes, filtered, until its limit", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1", "2");
  const tail = ["events", "tail", ...contract, "--idle", "1s"];
  const all = await shop.cli([...tail, "--from", "beginning"]);
  assert.equal(all.exitCode, 0);
  assert.match(all.out, /^2026-01-01T00:00:\S+Z orders\/\d@0 order\.created \d \{"event_type":"",.*\}$/m);
  const keys = async (...args: readonly string[]) =>
    jsonLines(await shop.cli([...tail, "--json", ...args]))
      .map(({ key }) => key)
      .sort();
  assert.deepEqual(await keys("--from", "beginning"), ["1", "2"]);
  assert.deepEqual(await keys("--since", "1h", "--key", "2"), ["2"]);
  assert.deepEqual(await keys("--since", "2026-01-02"), []);
  assert.deepEqual(await keys("--from", "beginning", "--type", "order.cancelled"), []);
  assert.equal((await keys("--from", "beginning", "--limit", "1")).length, 1);
  assert.deepEqual(await keys(), [], "from now on there is nothing");
});

test("tail says what a consumer could not read", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1");
  for (const [type, text] of [
    ["order.shipped", "{}"],
    ["order.created", "no JSON \x1b[2J"],
  ] as const) {
    await shop.cli(["events", "publish", type, "--topic", "orders", "--key", "1", "--body", text]);
  }
  const { out } = await shop.cli(["events", "tail", ...contract, "--from", "beginning", "--idle", "1s"]);
  const [good = "", unknown = "", unreadable = ""] = out.split("\n");
  assert.doesNotMatch(good, / ! /);
  assert.match(unknown, / order\.shipped 1 \{\} ! no contract knows it: its type is "order\.shipped"$/);
  assert.match(unreadable, / order\.created 1 no JSON \\u001b\[2J ! it is no order\.OrderCreated: /);
});

test("tail ends when it is told to, as a success", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1");
  const ending = new AbortController();
  shop.platform.clock.after(200, () => ending.abort());
  const { exitCode, error } = await shop.cli(["events", "tail", "orders"], { signal: ending.signal });
  assert.deepEqual({ exitCode, error }, { exitCode: 0, error: "" });
});

test("tail waits for who reads slowly", async t => {
  const shop = await VirtualBroker.start(t);
  await shop.publish("1", "2", "3");
  let open = 0;
  const out = () => {
    assert.equal(open, 0, "the line before has not been read");
    open++;
    return new Promise<void>(resolve => {
      shop.platform.clock.after(50, () => {
        open--;
        resolve();
      });
    });
  };
  assert.equal(
    (await shop.cli(["events", "tail", "orders", "--from", "beginning", "--limit", "3"], { out })).exitCode,
    0,
  );
});

test("groups sums what lag shows for each lane; lag is a check with limits", async t => {
  const shop = await VirtualBroker.start(t);
  const nobody = await shop.cli(["events", "groups"]);
  assert.deepEqual(nobody, { exitCode: 0, out: "", error: "no group consumes here\n" });
  const stock = await shop.member("stock");
  shop.isFailing = false;
  await shop.member("billing");
  await shop.until(stock.drain());
  await shop.publish("1", "2", "3");
  await shop.when("the other group has them", () => shop.handled.length === 3);
  await shop.platform.clock.advance(5_000);
  const { out } = await shop.cli(["events", "groups"]);
  assert.match(
    out,
    /^GROUP +TOPIC +LANES +LAG +OLDEST +CONSUMERS\nbilling +orders +8 +0 +- +1\nstock +orders +8 +3 +5s +0\n$/,
  );
  const [total] = jsonLines(await shop.cli(["events", "groups", "--json", "--group", "stock"]));
  assert.equal(total?.lag, 3);
  const lanes = jsonLines(await shop.cli(["events", "lag", "--json", "--group", "stock"]));
  assert.equal(lanes.length, 8);
  assert.equal(
    lanes.reduce((sum, { lag }) => sum + Number(lag), 0),
    3,
  );
  const behind = await shop.cli(["events", "lag", "--behind", "--group", "billing"]);
  assert.deepEqual(behind, { exitCode: 0, out: "", error: "nothing waits\n" });
  assert.equal((await shop.cli(["events", "lag", "--max", "3", "--max-age", "1m"])).exitCode, 0);
  const late = await shop.cli(["events", "lag", "--max", "2", "--max-age", "1s"]);
  assert.equal(late.exitCode, 1);
  assert.match(
    late.error,
    /^trunkline events lag: stock: the oldest in orders\/\d has waited for 5s; .*stock on orders: 3 wait\n$/,
  );
  const wrong = await shop.cli(["events", "lag", "--group", "stok"]);
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.error, /the broker knows no group "stok"; there are billing, stock\n$/);
});

test("what makes no sense is said in one line", async t => {
  const shop = await VirtualBroker.start(t);
  const lines: readonly (readonly [0 | 1 | 2, readonly string[], RegExp])[] = [
    [2, ["tail"], /name a topic, or a --contract whose topics are meant/],
    [2, ["publish"], /name one type, such as order\.created/],
    [2, ["publish", "a.b"], /name the --topic, or a --contract that says it/],
    [2, ["publish", "a.b", "--topic", "t", "--lines", "--body", "x"], /leave out --body/],
    [2, ["publish", "a.b", "--topic", "t", "--lines", "--id", "x"], /--id is of one event/],
    [2, ["publish", "a.b", "-c", "-"], /cannot be both the contract and the body/],
    [
      2,
      ["publish", "a.b", ...contract, "--content-type", "text/plain"],
      /with a contract it can be application\/json or/,
    ],
    [
      1,
      ["publish", "order.creatd", ...contract],
      /no contract has an event of type order\.creatd; they have order\.created \(orders\)/,
    ],
    [1, ["publish", "a b", "--topic", "t", "--body", "x"], /type is "a b"; it must be/],
    [1, ["publish", "a", "--topic", "a b", "--body", "x"], /topic is "a b"; it must be/],
    [2, ["tail", "orders", "--idle", "5"], /--idle is "5"; it must be a time such as 90s/],
    [1, ["tail", "-c", "examples/shop/src/gen/google/protobuf/timestamp_pb.ts"], /does not exist/],
    [1, ["tail", "-c", "src/cli/main.ts"], /there is no event in src\/cli\/main\.ts/],
    [1, ["tail", "orders", "--broker", "mqtt://h:secret@x"], /the scheme "mqtt:" names no broker/],
  ];
  for (const [expectedCode, args, expected] of lines) {
    const { exitCode, out, error } = await shop.cli(["events", ...args]);
    assert.equal(exitCode, expectedCode, error);
    assert.equal(out, "");
    assert.match(error, expected);
    assert.match(error, /^trunkline events[^\n]*\n$/, "one line");
    assert.doesNotMatch(error, /secret/);
  }
  const { exitCode, error } = await run(root, ["events", "groups"]);
  assert.equal(exitCode, 2);
  assert.match(error, /name a broker: --broker sqlite:\.\/events\.db, or the variable EVENTS_URL/);
});

/** A folder that goes with the test. */
function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("on an embedded broker, paths mean what they mean to the user and no file is made by mistake", async t => {
  const folder = temporaryFolder(t);
  const on = ["--broker", "sqlite:./events.db"];
  const mistaken = await run(folder, ["events", "tail", "orders", ...on]);
  assert.equal(mistaken.exitCode, 1);
  assert.match(mistaken.error, /there is no file .*events\.db; name that of the services/);
  assert.equal(existsSync(join(folder, "events.db")), false);
  const publish = ["events", "publish", "a.b", "--topic", "t", "--body", '{"n":1}', ...on];
  assert.equal((await run(folder, publish)).exitCode, 1);
  const { exitCode, error } = await run(folder, [...publish, "--create-topic"]);
  assert.equal(exitCode, 0, error);
  const [event] = jsonLines(
    await run(folder, ["events", "tail", "t", "--from", "beginning", "-n", "1", "--json", ...on]),
  );
  assert.deepEqual(event?.body, { n: 1 });
});

test("a reader that has seen enough ends the program quietly", async t => {
  const folder = temporaryFolder(t);
  const on = ["--broker", "sqlite:./events.db"];
  const lines = Buffer.from('{"n":1}\n'.repeat(500));
  const publish = ["events", "publish", "a.b", "--topic", "t", "--key", "k", "--lines", "--create-topic", ...on];
  assert.equal((await run(folder, publish, lines)).exitCode, 0);
  const program = [
    "--conditions=trunkline-source",
    join(root, "src/cli/bin.ts"),
    "events",
    "tail",
    "t",
    "--from",
    "beginning",
    ...on,
  ];
  const child = spawn(process.execPath, program, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  child.stdout.destroy();
  // It writes to the closed pipe with the next event.
  assert.equal((await run(folder, publish, lines)).exitCode, 0);
  const [exitCode] = await ended;
  assert.deepEqual({ exitCode, errors }, { exitCode: 0, errors: "" });
});

test("a signal ends a tail as a success", async t => {
  const folder = temporaryFolder(t);
  const on = ["--broker", "sqlite:./events.db"];
  const publish = ["events", "publish", "a.b", "--topic", "t", "--body", "x", "--create-topic", ...on];
  assert.equal((await run(folder, publish)).exitCode, 0);
  const program = [
    "--conditions=trunkline-source",
    join(root, "src/cli/bin.ts"),
    "events",
    "tail",
    "t",
    "--from",
    "beginning",
    ...on,
  ];
  const child = spawn(process.execPath, program, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  // npm passes Ctrl-C on beside the terminal.
  child.kill("SIGINT");
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
