import assert from "node:assert/strict";
import { Int32ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Balance, ledger } from "../../src/events/conformance/ledger.ts";
import { type Broker, connectBroker, onRequest } from "../../src/exports/events.ts";
import { isRpcError, type ObservedEvent, RpcError } from "../../src/exports/index.ts";
import { startRabbitmq } from "../../test/servers/index.ts";
import type { Children } from "../grpc/children.ts";
import { Guest } from "./guest.ts";
import { guideProgram, pythonEnvironment } from "./python.ts";
import { until } from "./shop.ts";

type Check = (title: string, run: () => Promise<void>) => Promise<void>;

interface Reply {
  readonly body: string;
  readonly content_type: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

const contract = ledger("accounts");
const { BalanceSchema, PlacedSchema } = contract;

/** RPC over a queue as pika's users write it, in both roles: their client with our `onRequest`, our `request` with their server. */
export async function requests(children: Children, check: Check): Promise<void> {
  await using server = await startRabbitmq();
  const env = { RABBITMQ_URL: server.url };
  const observed: ObservedEvent[] = [];
  const observer = { emit: (event: ObservedEvent) => void observed.push(event) };
  await using broker = await connectBroker(server.url, { source: "/interop", observer });
  await serve(broker);

  async function call(
    place: readonly string[],
    replies: "own" | "direct",
    bodies: readonly object[],
  ): Promise<Reply[]> {
    const args = [guideProgram("rpc_client.py"), ...place, replies, ...bodies.map(body => JSON.stringify(body))];
    const output = await children.run("python3", args, { ...pythonEnvironment, ...env });
    return output
      .trim()
      .split("\n")
      .map(line => JSON.parse(line) as Reply);
  }
  const toQueue = ["queue", "bank"];
  const toExchange = ["exchange", "accounts", "ledger.placed"];

  for (const place of [toQueue, toExchange]) {
    for (const replies of ["own", "direct"] as const) {
      await check(
        `requests: a pika client with ${replies === "own" ? "a queue of its own" : "direct reply-to"} asks our handler by the ${place[0]}`,
        async () => {
          const bodies = [1, 2, 3].map(number => ({ account: "guest", number }));
          const answers = await call(place, replies, bodies);
          assert.deepEqual(
            answers.map(({ body }) => JSON.parse(body) as Balance),
            bodies.map(({ account, number }) => ({ account, total: number * 2 })),
          );
          assert.equal(answers[0]?.content_type, "application/json");
          assert.equal(answers[0].headers["cloudEvents_type"], "conformance.Balance");
        },
      );
    }
  }
  await check("requests: a pika client reads our errors from headers", async () => {
    const [refused, invalid] = await call(toQueue, "own", [{ account: "nobody" }, { number: "many" }]);
    assert.equal(refused?.headers["trunkline-error-code"], "not_found");
    assert.equal(refused.headers["trunkline-error-message"], "there is no such account ✓");
    assert.equal(invalid?.headers["trunkline-error-code"], "invalid_argument");
    assert.match(invalid.headers["trunkline-error-message"] ?? "", /number/);
  });
  await check("requests: a pika client's request that fails once is handled again and answered", async () => {
    const [answer] = await call(toQueue, "own", [{ account: "flaky", number: 4 }]);
    assert.equal((JSON.parse(answer?.body ?? "{}") as Balance).total, 8);
  });

  const { PlacedSchema: AskedSchema } = ledger("questions");
  const guest = new Guest(children, "rpc_server.py", ["rpc_queue", "questions", "ledger.placed"], env);
  await guest.ready();
  await check("requests: our request gets the reply of a pika server, plain text that no header explains", async () => {
    const asked = Array.from({ length: 50 }, (_, number) =>
      broker.request(AskedSchema, Int32ValueSchema, { account: "a", number }, { timeoutMs: 20_000 }),
    );
    const replies = await Promise.all(asked);
    assert.deepEqual(
      replies.map(({ value }) => value),
      asked.map((_, number) => number * 2),
    );
    await until("the server has told of them", () => guest.seen.length === 50);
    assert.ok(guest.seen.every(({ headers }) => headers["trunkline-expires-at"] !== undefined));
  });
  await check("requests: an error in headers of a pika server is an RpcError", async () => {
    const asked = broker.request(AskedSchema, Int32ValueSchema, { number: -1 }, { timeoutMs: 20_000 });
    await assert.rejects(asked, error => isRpcError(error, "out_of_range") && error.message === "below zero");
  });
  await check("requests: the second reply of a pika server is dropped", async () => {
    const reply = await broker.request(
      AskedSchema,
      Int32ValueSchema,
      { number: 5, note: "twice" },
      { timeoutMs: 20_000 },
    );
    assert.equal(reply.value, 10);
    await until("it is counted", () => observed.some(({ type }) => type === "events.reply.dropped"));
  });
  await guest.stop();
  await check("requests: nothing has become a dead letter but what was no request", async () => {
    const reasons: string[] = [];
    for await (const { reason } of broker.deadLetters()) reasons.push(reason);
    assert.deepEqual(reasons, ["undecodable"]);
  });
}

async function serve(broker: Broker): Promise<void> {
  let failures = 0;
  await broker.subscribe(
    { group: "bank" },
    onRequest(PlacedSchema, BalanceSchema, ({ account, number }) => {
      if (account === "nobody") throw new RpcError("not_found", "there is no such account ✓");
      if (account === "flaky" && failures++ === 0) throw new Error("not yet");
      return { account, total: number * 2 };
    }),
  );
}
