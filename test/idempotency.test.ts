import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import {
  BadRequestSchema,
  type Call,
  type Client,
  createChannel,
  createClient,
  createServer,
  type ErrorCode,
  type Handlers,
  type IdempotencyOptions,
  type IdempotencyStore,
  idempotency,
  implement,
  isRpcError,
  memoryIdempotencyStore,
  operationId,
  RpcError,
  sqliteIdempotencyStore,
} from "trunkline";
import { virtualPlatform } from "trunkline/testing";
import { InvalidRequestError } from "../src/calls/rpc/index.ts";
import { Bodies, Streams, Things } from "./gen/transcoding/v1/transcoding_pb.ts";
import { type Answer, HttpClient } from "./transcoding/http-client.ts";

type Make = NonNullable<Handlers<typeof Things>["makeThing"]>;

const thing = { thingId: "a/b", thingParts: [{ partSize: 1 }] };
const body = '{"thing_id":"a/b","thing_parts":[{"part_size":1}]}';
const protocols = ["grpc", "grpc-web", "connect"] as const;

/** A server whose `makeThing` counts its runs; `make` says what a run does. */
async function serve(t: TestContext, make: Make = request => request, options: Partial<IdempotencyOptions> = {}) {
  let runs = 0;
  const operations: (string | undefined)[] = [];
  const events: { readonly type: string }[] = [];
  const server = createServer({
    services: [
      implement(Things, {
        makeThing(request, call) {
          runs++;
          operations.push(operationId());
          call.responseHeaders.set("x-run", String(runs));
          call.responseTrailers.set("x-run-bin", new Uint8Array([runs]));
          return make(request, call);
        },
        getThing: ({ thingId }) => ({ thingId, description: String(++runs) }),
      }),
      implement(Bodies, { map: () => ({ method: String(++runs) }) }),
      implement(Streams, { collect: async () => ({ texts: [] }) }),
    ],
    interceptors: [
      idempotency({
        store: memoryIdempotencyStore(),
        principal: call => String(call.metadata.get("x-user") ?? ""),
        observer: { emit: event => events.push(event) },
        ...options,
      }),
    ],
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const http = new HttpClient(port);
  const channels = protocols.map(protocol => createChannel(`127.0.0.1:${port}`, { protocol }));
  t.after(async () => {
    http[Symbol.dispose]();
    for (const channel of channels) channel.close();
    await server.close();
  });
  return {
    port,
    http,
    events,
    operations,
    runs: () => runs,
    post: (key: string, text = body, headers: Readonly<Record<string, string>> = {}) =>
      http.send("POST /things", text, { "idempotency-key": key, ...headers }),
    things: channels.map(channel => createClient(Things, channel)),
    client: (protocol: (typeof protocols)[number] = "grpc") => createClient(Things, `127.0.0.1:${port}`, { protocol }),
    channel: channels[0] as (typeof channels)[number],
  };
}

const withKey = (key: string) => ({ metadata: { "idempotency-key": key } });
const json = ({ body: bytes }: Answer) => JSON.parse(bytes.toString()) as Record<string, unknown>;

function assertReplayed(first: Answer, again: Answer): void {
  assert.equal(again.status, first.status);
  assert.equal(again.headers["location"], first.headers["location"]);
  assert.equal(again.body.toString(), first.body.toString());
  assert.equal(again.headers["content-type"], first.headers["content-type"]);
  assert.equal(first.headers["idempotent-replayed"], undefined);
  assert.equal(again.headers["idempotent-replayed"], "true");
}

const stores: readonly [string, () => IdempotencyStore][] = [
  ["memory", () => memoryIdempotencyStore()],
  ["SQLite", () => sqliteIdempotencyStore(new DatabaseSync(":memory:"))],
];
for (const [name, store] of stores) {
  test(`a repeat over REST gets the first status, place, head and body from the ${name} store`, async t => {
    const { post, runs } = await serve(t, undefined, { store: store() });
    const first = await post("k");
    assert.deepEqual([first.status, first.headers["location"]], [201, "/things/a%2Fb"]);
    const again = await post("k", ` ${body} `);
    assertReplayed(first, again);
    assert.equal(again.headers["x-run"], "1");
    assert.equal(runs(), 1);
    assert.equal((await post("other")).headers["x-run"], "2");
  });
}

test("a call by any protocol may be repeated by any other", async t => {
  const { post, things, runs } = await serve(t);
  const first = await post("k");
  for (const client of things) {
    let replayed: unknown;
    let trailer: unknown;
    const answer = await client.makeThing(thing, {
      ...withKey('"k"'),
      onHeaders: headers => {
        replayed = headers.get("idempotent-replayed");
      },
      onTrailers: trailers => {
        trailer = trailers.get("x-run-bin");
      },
    });
    assert.equal(answer.thingId, "a/b");
    assert.equal(answer.thingParts[0]?.partSize, 1);
    assert.equal(replayed, "true");
    assert.deepEqual([...(trailer as Uint8Array)], [1]);
  }
  for (const [index, client] of things.entries()) {
    await client.makeThing(thing, withKey(`own-${index}`));
    assertReplayed({ ...first, headers: { ...first.headers } }, await post(`own-${index}`));
  }
  assert.equal(runs(), 1 + protocols.length);
});

test("another request with the key is 422 and does not run", async t => {
  const { post, things, runs } = await serve(t);
  await post("k");
  const other = await post("k", body.replace("a/b", "c"));
  assert.equal(other.status, 422);
  assert.equal(json(other)["code"], "invalid_argument");
  assert.deepEqual(json(other)["violations"], [
    {
      field: "idempotency-key",
      message: "was used for another request; a new request needs a new key",
      rule: "idempotency_key.reused",
    },
  ]);
  for (const client of things) {
    await assert.rejects(client.makeThing({ ...thing, price: 2 }, withKey("k")), error =>
      isRpcError(error, "invalid_argument"),
    );
  }
  assert.equal(runs(), 1);
});

test("while the first runs, a repeat is 409 with Retry-After", async t => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const { post, things, runs } = await serve(t, async request => {
    started.resolve();
    await promise;
    return request;
  });
  const first = post("k");
  await started.promise;
  const second = await post("k");
  assert.deepEqual([second.status, second.headers["retry-after"], json(second)["code"]], [409, "1", "aborted"]);
  assert.equal((await post("k", body.replace("a/b", "c"))).status, 422);
  for (const client of things) {
    await assert.rejects(client.makeThing(thing, withKey("k")), error => isRpcError(error, "aborted"));
  }
  resolve();
  assertReplayed(await first, await post("k"));
  assert.equal(runs(), 1);
});

test("keys of two principals and of two methods do not meet", async t => {
  const { post, channel, runs } = await serve(t);
  assert.equal((await post("k", body, { "x-user": "ada" })).headers["x-run"], "1");
  assert.equal((await post("k", body.replace("a/b", "c"), { "x-user": "grace" })).headers["x-run"], "2");
  assert.equal((await createClient(Bodies, channel).map({ name: "k" }, withKey("k"))).method, "3");
  assert.equal(runs(), 3);
});

test("what is the caller's fault comes again, with everything that it says", async t => {
  const { post, things, runs } = await serve(t, ({ thingId }) => {
    if (thingId === "taken") {
      throw new RpcError("failed_precondition", `größe "${thingId}"`, {
        httpStatus: 412,
        problemType: "https://example.com/taken",
        metadata: { "x-why": ["because", "therefore"] },
        details: [{ type: "example.Detail", value: new Uint8Array([8, 1]) }],
        retryAfterMs: -1,
      });
    }
    throw new RpcError("invalid_argument", "odd", {
      details: [
        [BadRequestSchema, { fieldViolations: [{ field: "thing_id", description: "is odd", reason: "own.rule" }] }],
      ],
    });
  });
  const taken = body.replace("a/b", "taken");
  assertReplayed(await post("taken", taken), await post("taken", taken));
  const odd = await post("odd");
  assert.deepEqual(json(odd)["violations"], [{ field: "thing_id", message: "is odd", rule: "own.rule" }]);
  assertReplayed(odd, await post("odd"));
  for (const client of things) {
    await assert.rejects(client.makeThing({ ...thing, thingId: "taken" }, withKey("taken")), (error: unknown) => {
      assert.ok(isRpcError(error, "failed_precondition"), String(error));
      assert.equal(error.message, 'größe "taken"');
      const [detail] = error.details;
      assert.deepEqual(detail !== undefined && "type" in detail && [detail.type, ...detail.value], [
        "example.Detail",
        8,
        1,
      ]);
      assert.match(String(error.metadata["x-why"]), /because, ?therefore/);
      return true;
    });
  }
  assert.equal(runs(), 2);
});

test("details that a handler gives as messages are shown in a repeat as in the first answer", async t => {
  const { post } = await serve(t, () => {
    const details = [[Things.method.getThing.input, { thingId: "x" }]] as const;
    throw new RpcError("not_found", "no", { details: [...details] });
  });
  const first = await post("k");
  assert.deepEqual(json(first)["details"], [
    { "@type": `type.googleapis.com/${Things.method.getThing.input.typeName}`, thingId: "x" },
  ]);
  assertReplayed(first, await post("k"));
});

test("violations that come from behind the interceptors are kept in both spellings", async t => {
  const field = (names: "json" | "proto") => (names === "json" ? "thingId" : "thing_id");
  const { post, client } = await serve(t, () => {
    throw new InvalidRequestError([{ field, message: "is odd", rule: "string.odd" }]);
  });
  const first = await post("k");
  assert.deepEqual(json(first)["violations"], [{ field: "thing_id", message: "is odd", rule: "string.odd" }]);
  assertReplayed(first, await post("k"));
  await assert.rejects(client().makeThing(thing, withKey("k")), { message: "thing_id: is odd" });
});

test("a request that breaks the contract's rules is refused in the same words each time", async t => {
  const { post, runs } = await serve(t);
  const first = await post("k", "{}");
  assert.equal(first.status, 400);
  assert.equal((first.headers["content-type"] as string) ?? "", "application/problem+json");
  const again = await post("k", "{}");
  assert.deepEqual([again.status, again.body.toString()], [400, first.body.toString()]);
  assert.equal(runs(), 0);
});

test("what may go better next time is not kept, and the operation stays the same", async t => {
  const passing: [ErrorCode, object][] = [
    ["internal", {}],
    ["unknown", {}],
    ["unavailable", {}],
    ["deadline_exceeded", {}],
    ["unimplemented", {}],
    ["data_loss", {}],
    ["cancelled", {}],
    ["resource_exhausted", {}],
    ["failed_precondition", { retryAfterMs: 0 }],
    ["invalid_argument", { httpStatus: 500 }],
  ];
  let failure: Error = new Error("a secret");
  const { post, operations, runs } = await serve(t, () => {
    throw failure;
  });
  await post("k");
  for (const [code, options] of passing) {
    failure = new RpcError(code, "not now", options);
    assert.equal((await post("k")).headers["idempotent-replayed"], undefined, code);
  }
  assert.equal(runs(), passing.length + 1);
  assert.equal((await post("k", body.replace("a/b", "c"))).status, 422);
  assert.equal(new Set(operations).size, 1);
  assert.match(String(operations[0]), /^[0-9a-f]{32}$/);
  failure = new RpcError("not_found", "gone");
  assertReplayed(await post("k"), await post("k"));
});

test("a key that is none is 400, and the request does not run", async t => {
  const { post, things, runs } = await serve(t);
  for (const key of ["", "a b", '"', "x".repeat(256), "caf\u00e9", "\u00a0"]) {
    const answer = await post(key);
    assert.equal(answer.status, 400, JSON.stringify(key));
    assert.equal((json(answer)["violations"] as { field: string }[])[0]?.field, "idempotency-key");
  }
  const twice = { metadata: { "idempotency-key": ["a", "a"] } };
  for (const client of things) {
    await assert.rejects(client.makeThing(thing, twice), error => isRpcError(error, "invalid_argument"));
  }
  assert.equal(runs(), 0);
});

test("a caller that leaves does not undo what the handler did: a repeat gets its outcome", async t => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const started = Promise.withResolvers<Call>();
  const { client, post, runs } = await serve(t, async (request, call) => {
    started.resolve(call);
    await promise;
    return request;
  });
  const impatient = client().makeThing(thing, { ...withKey("k"), timeoutMs: 50 });
  const { signal } = await started.promise;
  await assert.rejects(impatient, error => isRpcError(error, "deadline_exceeded"));
  if (!signal.aborted) await new Promise(done => signal.addEventListener("abort", done));
  assert.equal((await post("k")).status, 409);
  resolve();
  const again = await untilSettled(() => post("k"));
  assert.deepEqual([again.status, again.headers["idempotent-replayed"]], [201, "true"]);
  assert.equal(runs(), 1);
});

test("a handler that stops because its caller left has no outcome: a repeat runs", async t => {
  const started = Promise.withResolvers<void>();
  let isFirst = true;
  const { client, post, runs } = await serve(t, async (request, { signal }) => {
    if (!isFirst) return request;
    isFirst = false;
    started.resolve();
    await new Promise(done => signal.addEventListener("abort", done));
    signal.throwIfAborted();
    return request;
  });
  const leaving = new AbortController();
  const first = client().makeThing(thing, { ...withKey("k"), signal: leaving.signal });
  await started.promise;
  leaving.abort();
  await assert.rejects(first, error => isRpcError(error, "cancelled"));
  const again = await untilSettled(() => post("k"));
  assert.deepEqual([again.status, again.headers["idempotent-replayed"]], [201, undefined]);
  assert.equal(runs(), 2);
});

async function untilSettled(post: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await post();
    if (answer.status !== 409) return answer;
  }
}

test("a caller that leaves before the key is claimed costs no run", async t => {
  const inner = memoryIdempotencyStore();
  const asked = Promise.withResolvers<void>();
  const answering = Promise.withResolvers<void>();
  const abandoned = Promise.withResolvers<void>();
  const store: IdempotencyStore = {
    async begin(ticket) {
      asked.resolve();
      await answering.promise;
      return inner.begin(ticket);
    },
    renew: ticket => inner.renew(ticket),
    complete: (ticket, answer) => inner.complete(ticket, answer),
    abandon(ticket) {
      abandoned.resolve();
      return inner.abandon(ticket);
    },
  };
  const calls: Call[] = [];
  const principal = (call: Call) => {
    calls.push(call);
    return "";
  };
  const { client, post, runs } = await serve(t, undefined, { store, principal });
  const impatient = client().makeThing(thing, { ...withKey("k"), timeoutMs: 50 });
  await asked.promise;
  await assert.rejects(impatient, error => isRpcError(error, "deadline_exceeded"));
  const signal = calls[0]?.signal;
  if (signal?.aborted === false) await new Promise(done => signal.addEventListener("abort", done));
  answering.resolve();
  await abandoned.promise;
  assert.equal(runs(), 0);
  assert.deepEqual([(await post("k")).headers["x-run"], runs()], ["1", 1]);
});

test("the lease of a handler that takes long is renewed", async t => {
  const platform = virtualPlatform();
  const { promise, resolve } = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const options = { platform, leaseMs: 300, store: memoryIdempotencyStore({ platform }) };
  const { post, runs } = await serve(
    t,
    async request => {
      started.resolve();
      await promise;
      return request;
    },
    options,
  );
  const first = post("k");
  await started.promise;
  for (let elapsed = 0; elapsed < 3_000; elapsed += 100) await platform.clock.advance(100);
  assert.equal((await post("k")).status, 409);
  resolve();
  assertReplayed(await first, await post("k"));
  assert.equal(platform.clock.pendingTimers, 0);
  assert.equal(runs(), 1);
});

test("after 24 hours the key is new", async t => {
  const platform = virtualPlatform();
  const { post } = await serve(t, undefined, { platform, store: memoryIdempotencyStore({ platform }) });
  await post("k");
  await platform.clock.advance(24 * 3_600_000 - 1);
  assert.equal((await post("k")).headers["x-run"], "1");
  await platform.clock.advance(1);
  assert.equal((await post("k", body.replace("a/b", "c"))).headers["x-run"], "2");
});

test("a store that fails at the beginning is 503 and nothing runs; one that fails at the end costs no answer", async t => {
  const inner = memoryIdempotencyStore();
  let failing = "begin";
  const fail = (step: string) => {
    if (failing === step) throw new Error("disk /secret/path is full");
  };
  const store: IdempotencyStore = {
    async begin(ticket) {
      fail("begin");
      return inner.begin(ticket);
    },
    renew: ticket => inner.renew(ticket),
    async complete(ticket, answer) {
      fail("complete");
      return inner.complete(ticket, answer);
    },
    async abandon(ticket) {
      fail("abandon");
      return inner.abandon(ticket);
    },
  };
  let failure: Error | undefined;
  const { post, runs, events } = await serve(
    t,
    request => {
      if (failure !== undefined) throw failure;
      return request;
    },
    { store },
  );
  const refused = await post("k");
  assert.deepEqual([refused.status, refused.headers["retry-after"], runs()], [503, "1", 0]);
  assert.doesNotMatch(refused.body.toString(), /secret/);
  failing = "complete";
  assert.equal((await post("k")).status, 201);
  assert.equal((await post("k")).status, 409);
  failing = "abandon";
  failure = new RpcError("unavailable", "not now");
  assert.equal((await post("other")).status, 503);
  assert.equal(runs(), 2);
  assert.deepEqual(
    events.map(({ type, ...event }) => [type, (event as { step?: string }).step]),
    ["begin", "complete", "abandon"].map(step => ["idempotency.store.failed", step]),
  );
});

test("a full store refuses new keys with 503, and calls without a key go on", async t => {
  const { http, post } = await serve(t, undefined, { store: memoryIdempotencyStore({ entriesMax: 1 }) });
  assert.equal((await post("a")).status, 201);
  assert.equal((await post("b")).status, 503);
  assert.equal((await post("a")).headers["idempotent-replayed"], "true");
  assert.equal((await http.send("POST /things", body)).status, 201);
});

test("reading methods ignore the key, streams refuse it, and methods that are not chosen ignore it", async t => {
  const { http, channel, runs } = await serve(t);
  for (const run of [1, 2]) {
    const answer = await http.send("GET /things/a", undefined, { "idempotency-key": "not a key" });
    assert.deepEqual([answer.status, json(answer)["description"]], [200, String(run)]);
  }
  await assert.rejects(createClient(Streams, channel).collect([], withKey("k")), error =>
    isRpcError(error, "invalid_argument"),
  );
  assert.equal(runs(), 2);
  const chosen = await serve(t, undefined, { methods: [Bodies.method.map] });
  assert.equal((await chosen.post("k")).headers["x-run"], "1");
  assert.equal((await chosen.post("k")).headers["x-run"], "2");
  await createClient(Streams, chosen.channel).collect([], withKey("k"));
});

test("a method that requires a key is not called without one", async t => {
  const { http, post } = await serve(t, undefined, { required: [Things.method.makeThing] });
  const without = await http.send("POST /things", body);
  assert.equal(without.status, 400);
  assert.equal((json(without)["violations"] as { rule: string }[])[0]?.rule, "idempotency_key.required");
  assert.equal((await post("k")).status, 201);
});

test("requests with maps are equal whatever the order of their members", async t => {
  const { channel, port } = await serve(t);
  const grpc = createClient(Bodies, channel);
  const connect = createClient(Bodies, `127.0.0.1:${port}`, { protocol: "connect" });
  const map = (client: Client<typeof Bodies>, counts: Record<string, number>) => client.map({ counts }, withKey("k"));
  assert.equal((await map(grpc, { a: 1, b: 2 })).method, "1");
  assert.equal((await map(connect, { b: 2, a: 1 })).method, "1");
  for (const counts of [{ a: 1, b: 3 }, { a: 1 }, { a: 1, b: 2, ["__proto__"]: 3 }]) {
    await assert.rejects(map(grpc, counts), error => isRpcError(error, "invalid_argument"));
  }
});

test("the document of the server says which operations take a key", async t => {
  const { http } = await serve(t, undefined, { required: [Things.method.makeThing] });
  const { paths } = json(await http.send("GET /openapi.json")) as {
    paths: Record<string, Record<string, { parameters?: { name: string; required: boolean }[]; responses: object }>>;
  };
  const key = (path: string, verb: string) => {
    const operation = paths[path]?.[verb];
    const parameter = operation?.parameters?.find(({ name }) => name === "Idempotency-Key");
    return [parameter?.required, "409" in (operation?.responses ?? {}), "422" in (operation?.responses ?? {})];
  };
  assert.deepEqual(key("/things", "post"), [true, true, true]);
  assert.deepEqual(key("/things/{thing_id}", "get"), [undefined, false, false]);
});

test("mistakes in the options are found when the server is made", () => {
  const store = memoryIdempotencyStore();
  const wrong: [Partial<IdempotencyOptions>, RegExp][] = [
    [{ ttlMs: 0 }, /ttlMs must be a number of milliseconds above 0, got 0/],
    [{ leaseMs: Number.NaN }, /leaseMs/],
    [{ methods: [Streams.method.collect] }, /Streams\/Collect streams/],
    [{ required: [Things.method.getThing] }, /GetThing has NO_SIDE_EFFECTS/],
    [{ methods: [Bodies.method.map], required: [Things.method.makeThing] }, /is in required but not in methods/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => idempotency({ store, ...options }), { name: "TypeError", message });
  }
});

test("who imports trunkline does not load node:sqlite", () => {
  const script =
    'await import("trunkline"); process.stdout.write(process.moduleLoadList.filter(name => /sqlite/.test(name)).join());';
  const flags = ["--conditions=trunkline-source", "--input-type=module", "--eval", script];
  const { status, stdout } = spawnSync(process.execPath, flags, { encoding: "utf8" });
  assert.deepEqual([status, stdout], [0, ""]);
});
