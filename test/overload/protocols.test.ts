/** What callers of every protocol get from a server that turns work away, and what a server learns from its callers. */
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { type TestContext, test } from "node:test";
import {
  type Call,
  createChannel,
  createClient,
  createServer,
  type Handlers,
  implement,
  isRpcError,
  RpcError,
  type ServerOptions,
} from "trunkline";
import { markOutOfRetries } from "trunkline/resilience";
import { inheritedPriority } from "../../src/calls/rpc/index.ts";
import { Health } from "../../src/contract/gen/grpc/health/v1/health_pb.ts";
import { Streams, Things } from "../gen/transcoding/v1/transcoding_pb.ts";
import { HttpClient } from "../transcoding/http-client.ts";

type Make = NonNullable<Handlers<typeof Things>["makeThing"]>;
type Fields = Readonly<Record<string, string>>;

const clients = ["grpc", "grpc-web", "connect"] as const;
const protocols = [...clients, "rest"] as const;
type Protocol = (typeof protocols)[number];

/** What a caller sees of an answer, in the words of its protocol. */
interface Seen {
  /** `ok` or the code of the error. */
  readonly code: string;
  /** The wait that the answer asks for, in milliseconds; −1: not at all; NaN: nothing was said. */
  readonly retryAfterMs: number;
}

async function serve(t: TestContext, makeThing: Make, options: Partial<ServerOptions> = {}) {
  const server = createServer({ services: [implement(Things, { makeThing })], ...options });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const http = new HttpClient(port);
  const channels = clients.map(protocol => createChannel(`127.0.0.1:${port}`, { protocol }));
  t.after(async () => {
    http[Symbol.dispose]();
    for (const channel of channels) channel.close();
    await server.close();
  });
  const call = async (protocol: Protocol, fields: Fields = {}): Promise<Seen> => {
    if (protocol === "rest") {
      const answer = await http.send("POST /things", '{"thing_id":"a","thing_parts":[{"part_size":1}]}', fields);
      const { code = "ok" } = JSON.parse(answer.body.toString()) as { code?: string };
      const seconds = answer.headers["retry-after"];
      const pushback = answer.headers["grpc-retry-pushback-ms"];
      return { code, retryAfterMs: seconds === undefined ? Number(pushback ?? Number.NaN) : Number(seconds) * 1_000 };
    }
    try {
      const channel = channels[clients.indexOf(protocol)];
      assert(channel !== undefined);
      await createClient(Things, channel).makeThing(
        { thingId: "a", thingParts: [{ partSize: 1 }] },
        { metadata: fields },
      );
      return { code: "ok", retryAfterMs: Number.NaN };
    } catch (error) {
      assert(isRpcError(error));
      return { code: error.code, retryAfterMs: error.retryAfterMs ?? Number.NaN };
    }
  };
  return { call, http, port, server, channels };
}

/** A gRPC request as written; resolves with the status. */
async function rawGrpc(port: number, path: string, fields: Fields): Promise<string> {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", ...fields });
  stream.end(Buffer.alloc(5));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const look = (headers: Record<string, unknown>) => {
    if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
  };
  stream.on("response", look).on("trailers", look).on("error", reject).resume();
  try {
    return await promise;
  } finally {
    session.destroy();
  }
}

const path = "/transcoding.v1.Things/MakeThing";

test("a call whose deadline passed before it arrived never reaches the handler, on every protocol", async t => {
  let runs = 0;
  const { http, port } = await serve(t, request => {
    runs++;
    return request;
  });
  assert.equal(await rawGrpc(port, path, { "grpc-timeout": "0m" }), "4");
  const web = await http.send(`POST ${path}`, Buffer.alloc(5), {
    "content-type": "application/grpc-web+proto",
    "grpc-timeout": "0n",
  });
  assert.match(web.body.toString("latin1"), /grpc-status: 4\r\n/);
  const unary = await http.send(`POST ${path}`, "{}", { "connect-timeout-ms": "0" });
  assert.equal((JSON.parse(unary.body.toString()) as { code: string }).code, "deadline_exceeded");
  const rest = await http.send("POST /things", "{}", { "x-request-timeout-ms": "0" });
  assert.equal(rest.status, 504);
  assert.equal(runs, 0);
});

for (const protocol of protocols) {
  test(`over ${protocol} a full server refuses with pushback by the head alone, and serves again when there is room`, async t => {
    const gate = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const refused: unknown[] = [];
    const { call, http, channels } = await serve(
      t,
      async request => {
        held.resolve();
        await gate.promise;
        return request;
      },
      {
        overload: { concurrency: { max: 1 }, retryAfterMs: 2_000 },
        observer: { emit: event => event.type === "rpc.call.refused" && refused.push(event) },
      },
    );
    const first = call(protocol);
    await held.promise;
    const { code, retryAfterMs } = await call(protocol, { "x-trunkline-priority": "sheddable" });
    assert.equal(code, "resource_exhausted");
    assert(retryAfterMs >= 1_000 && retryAfterMs <= 3_000, `${retryAfterMs}`);
    assert.deepEqual(refused, [
      { type: "rpc.call.refused", method: path, priority: "sheddable", reason: "limit_reached" },
    ]);
    // What the body says was not looked at, and the connection goes on.
    const broken = await http.send("POST /things", "{ this is no JSON");
    assert.equal(broken.status, 429);
    assert.notEqual(broken.headers.connection, "close");
    for (const channel of channels) assert.equal((await createClient(Health, channel).check({})).status, 1);
    gate.resolve();
    assert.equal((await first).code, "ok");
    assert.equal((await call(protocol)).code, "ok");
  });

  test(`over ${protocol} a failure that was given up below is answered with the word not to try again`, async t => {
    const { call } = await serve(t, () => {
      const below = new RpcError("unavailable", "three attempts failed");
      markOutOfRetries(below);
      throw new RpcError("unavailable", "no stock", { cause: new Error("while reserving", { cause: below }) });
    });
    assert.deepEqual(await call(protocol), { code: "unavailable", retryAfterMs: -1 });
  });

  test(`over ${protocol} any other failure says nothing about trying again`, async t => {
    const { call } = await serve(t, () => {
      throw new RpcError("unavailable", "not now", { cause: new Error("something") });
    });
    assert.deepEqual(await call(protocol), { code: "unavailable", retryAfterMs: Number.NaN });
  });

  test(`over ${protocol} a handler knows priority and attempt, and work that it begins inherits the priority`, async t => {
    const seen: unknown[] = [];
    const { call } = await serve(t, async (request, served: Call) => {
      await null;
      seen.push([served.priority, inheritedPriority(), served.attempt]);
      return request;
    });
    await call(protocol, { "x-trunkline-priority": "critical", "grpc-previous-rpc-attempts": "2" });
    await call(protocol);
    for (const garbage of ["", "-1", "1e3", "9999", "2, 3"]) {
      await call(protocol, { "x-trunkline-priority": "CRITICAL", "grpc-previous-rpc-attempts": garbage });
    }
    assert.deepEqual(seen, [
      ["critical", "critical", 2],
      ...Array.from({ length: 6 }, () => ["default", "default", 0]),
    ]);
    assert.equal(inheritedPriority(), undefined);
  });
}

for (const protocol of clients) {
  test(`a stream over ${protocol} that fails below after its first message says not to try again`, async t => {
    const server = createServer({
      services: [
        implement(Streams, {
          async *count() {
            yield {};
            const error = new RpcError("unavailable", "given up");
            markOutOfRetries(error);
            throw error;
          },
        }),
      ],
    });
    const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
    const channel = createChannel(`127.0.0.1:${port}`, { protocol });
    t.after(async () => {
      channel.close();
      await server.close();
    });
    await assert.rejects(Array.fromAsync(createClient(Streams, channel).count({ to: 1 })), (error: unknown) => {
      assert(isRpcError(error, "unavailable"));
      assert.equal(error.retryAfterMs, -1);
      assert.equal(error.metadata["grpc-retry-pushback-ms"], undefined);
      return true;
    });
  });
}

test("without trust a caller may say that its call matters less, not that it matters more", async t => {
  const seen: unknown[] = [];
  const make: Make = (request, call) => {
    seen.push(call.priority);
    return request;
  };
  const { call } = await serve(t, make, { overload: { trustPriority: false } });
  for (const priority of ["critical", "default", "sheddable"]) {
    await call("grpc", { "x-trunkline-priority": priority });
  }
  assert.deepEqual(seen, ["default", "default", "sheddable"]);
});

test("with overload false nothing is turned away", async t => {
  const all = Promise.withResolvers<void>();
  let running = 0;
  const make: Make = async request => {
    if (++running === 300) all.resolve();
    await all.promise;
    return request;
  };
  const { call } = await serve(t, make, { overload: false });
  const fields = { "x-trunkline-priority": "sheddable" };
  const seen = await Promise.all(Array.from({ length: 300 }, () => call("grpc", fields)));
  assert(seen.every(({ code }) => code === "ok"));
});

const mistakes: readonly [Partial<Record<keyof ServerOptions, unknown>>, RegExp][] = [
  [
    { overload: { concurency: {} } },
    /overload: there is no option "concurency"; the options are concurrency, loopDelayMs/,
  ],
  [{ overload: true }, /overload: expected an object of options, got boolean/],
  [{ overload: { concurrency: { min: 5, max: 4 } } }, /overload\.concurrency: min 5 is above max 4/],
  [{ overload: { concurrency: { max: 0 } } }, /overload\.concurrency\.(min|max): expected a whole number from 1/],
  [{ overload: { loopDelayMs: "100" } }, /overload\.loopDelayMs: expected milliseconds, got string/],
  [{ overload: { retryAfterMs: Number.NaN } }, /overload\.retryAfterMs: expected 1 to 3,600,000 ms, got NaN/],
  [{ overload: { trustPriority: "no" } }, /overload\.trustPriority: expected true or false, got string/],
  [{ methodLimits: { "/transcoding.v1.Things/Nope": { concurrent: 1 } } }, /Nope"\]: no method is served there/],
  [{ methodLimits: { [path]: {} } }, /MakeThing"\]\.concurrent is missing/],
  [{ methodLimits: { [path]: { concurrent: 0 } } }, /MakeThing"\]\.concurrent: expected a whole number from 1/],
  [{ methodLimits: { [path]: { concurrent: 1, size: 2 } } }, /there is no option "size"/],
];
for (const [options, message] of mistakes) {
  test(`createServer refuses ${JSON.stringify(options)}`, () => {
    const services = [implement(Things, {})];
    assert.throws(() => createServer({ services, ...(options as object) }), message);
  });
}
