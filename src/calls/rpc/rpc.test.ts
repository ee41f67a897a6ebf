import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../contract/gen/grpc/reflection/v1/reflection_pb.ts";
import { isRpcError, RpcError } from "../../errors/index.ts";
import { memoryPlatform } from "../../wire/transport/index.ts";
import { Channel } from "../channel/index.ts";
import type { Call } from "./call.ts";
import { createClient } from "./client.ts";
import { implement } from "./implement.ts";
import { reflection } from "./reflection.ts";
import { RpcServer, type RpcServerOptions } from "./server.ts";

const platform = memoryPlatform();
let nextPort = 1000;

async function serve(services: RpcServerOptions["services"], options: Partial<RpcServerOptions> = {}) {
  const server = new RpcServer({ services, platform, ...options });
  const { port } = await server.listen({ port: nextPort++, host: "127.0.0.1" });
  const channel = new Channel(`127.0.0.1:${port}`, { platform });
  after(async () => {
    channel.close();
    await server.close();
  });
  return { server, channel };
}

test("a unary call carries message, metadata, headers and trailers", async () => {
  const { channel } = await serve([
    implement(Health, {
      check({ service }, call) {
        call.responseHeaders.set("x-head", String(call.metadata.get("x-asked")));
        call.responseTrailers.set("x-tail-bin", new Uint8Array([1, 2]));
        return { status: service === "a" ? Status.SERVING : Status.NOT_SERVING };
      },
    }),
  ]);
  const client = createClient(Health, channel);
  const seen: unknown[] = [];
  const answer = await client.check(
    { service: "a" },
    {
      metadata: { "x-asked": "yes" },
      onHeaders: headers => seen.push(headers.get("x-head")),
      onTrailers: trailers => seen.push([...(trailers.get("x-tail-bin") as Uint8Array)]),
    },
  );
  assert.equal(answer.status, Status.SERVING);
  assert.deepEqual(seen, ["yes", [1, 2]]);
});

test("an RpcError of a handler reaches the caller with code, message, details and metadata", async () => {
  const { channel } = await serve([
    implement(Health, {
      check() {
        throw new RpcError("failed_precondition", "50 % of größe", {
          details: [{ type: "example.Detail", value: new Uint8Array([9]) }],
          metadata: { "x-why": "because" },
          retryAfterMs: 1500,
        });
      },
    }),
  ]);
  await assert.rejects(createClient(Health, channel).check({}), (error: unknown) => {
    assert.ok(isRpcError(error, "failed_precondition"));
    assert.equal(error.message, "50 % of größe");
    assert.deepEqual(
      error.details.map(detail => ("type" in detail ? [detail.type, [...detail.value]] : [])),
      [["example.Detail", [9]]],
    );
    assert.equal(error.metadata["x-why"], "because");
    assert.equal(error.retryAfterMs, 1500);
    return true;
  });
});

test("any other error is internal without its message, and is reported", async () => {
  const events: unknown[] = [];
  const { channel } = await serve(
    [
      implement(Health, {
        check() {
          throw new Error("password is 1234");
        },
      }),
    ],
    { observer: { emit: event => events.push(event.type) } },
  );
  await assert.rejects(createClient(Health, channel).check({}), (error: unknown) => {
    assert.ok(isRpcError(error, "internal"));
    assert.ok(!error.message.includes("password"));
    return true;
  });
  assert.ok(events.includes("rpc.handler.failed"));
});

test("a method without a handler is unimplemented, unary or streamed", async () => {
  const { channel } = await serve([implement(Health, {})]);
  const client = createClient(Health, channel);
  await assert.rejects(client.check({}), error => isRpcError(error, "unimplemented"));
  await assert.rejects(Array.fromAsync(client.watch({})), error => isRpcError(error, "unimplemented"));
});

test("a deadline ends the call on both sides", async () => {
  let reason: unknown;
  const { channel } = await serve([
    implement(Health, {
      check: (_request, call) =>
        new Promise((_, reject) => {
          call.signal.addEventListener("abort", () => {
            reason = call.signal.reason;
            reject(call.signal.reason);
          });
        }),
    }),
  ]);
  await assert.rejects(createClient(Health, channel).check({}, { timeoutMs: 20 }), error =>
    isRpcError(error, "deadline_exceeded"),
  );
  await new Promise(resolve => platform.clock.after(50, () => resolve(undefined)));
  assert.ok(isRpcError(reason, "deadline_exceeded", "cancelled"));
});

test("leaving the loop over a stream cancels the handler", async () => {
  const aborted = Promise.withResolvers<void>();
  const { channel } = await serve([
    implement(Health, {
      async *watch(_request, call) {
        call.signal.addEventListener("abort", () => aborted.resolve());
        for (;;) {
          yield { status: Status.SERVING };
          await new Promise(resolve => platform.clock.after(1, () => resolve(undefined)));
        }
      },
    }),
  ]);
  let count = 0;
  for await (const answer of createClient(Health, channel).watch({})) {
    assert.equal(answer.status, Status.SERVING);
    if (++count === 3) break;
  }
  await aborted.promise;
});

test("a bidirectional stream answers each message as it comes", async () => {
  const { channel } = await serve(reflection([Health]));
  async function* ask() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
    yield { messageRequest: { case: "fileContainingSymbol" as const, value: "grpc.health.v1.Health.Check" } };
    yield { messageRequest: { case: "fileByFilename" as const, value: "missing.proto" } };
  }
  const answers = await Array.fromAsync(createClient(ServerReflection, channel).serverReflectionInfo(ask()));
  assert.deepEqual(
    answers.map(answer => answer.messageResponse.case),
    ["listServicesResponse", "fileDescriptorResponse", "errorResponse"],
  );
});

test("a call made in a handler inherits what is left of its deadline", async () => {
  const inner: number[] = [];
  const { channel: backend } = await serve([
    implement(Health, {
      check(_request, call) {
        inner.push(call.timeLeftMs);
        return {};
      },
    }),
  ]);
  const client = createClient(Health, backend);
  const { channel } = await serve([
    implement(Health, {
      async check() {
        await Promise.resolve();
        return client.check({});
      },
    }),
  ]);
  await createClient(Health, channel).check({}, { timeoutMs: 5000 });
  assert.ok((inner[0] ?? Number.POSITIVE_INFINITY) <= 5000);
});

test("what an interceptor puts in the place of the request is the call's request for the handler, too", async () => {
  const seen: unknown[] = [];
  const { channel } = await serve(
    [
      implement(Health, {
        check(request, call) {
          seen.push(request.service, (call.request as typeof request).service);
          return {};
        },
      }),
    ],
    { interceptors: [(call, next) => next({ ...(call.request as object), service: "replaced" })] },
  );
  await createClient(Health, channel).check({ service: "sent" });
  assert.deepEqual(seen, ["replaced", "replaced"]);
});

test("a call made in a handler belongs to the handler's trace, unless it says otherwise", async () => {
  const seen: unknown[] = [];
  const { channel: backend } = await serve([
    implement(Health, {
      check(_request, { trace }) {
        seen.push(trace);
        return {};
      },
    }),
  ]);
  const client = createClient(Health, backend);
  const { channel } = await serve([
    implement(Health, {
      async check() {
        await client.check({});
        return client.check({}, { metadata: { traceparent: "own" } });
      },
    }),
  ]);
  await createClient(Health, channel).check({}, { metadata: { traceparent: "00-1-2-01", baggage: "tenant=7" } });
  await createClient(Health, channel).check({});
  const inherited = { traceparent: "00-1-2-01", tracestate: undefined, baggage: "tenant=7" };
  const own = { traceparent: "own", tracestate: undefined, baggage: undefined };
  assert.deepEqual(seen, [inherited, own, undefined, own]);
});

test("interceptors run around calls on both sides, the first outermost", async () => {
  const order: string[] = [];
  const note = (name: string) => async (_call: Call, next: () => Promise<unknown>) => {
    order.push(name);
    const response = await next();
    order.push(`/${name}`);
    return response;
  };
  const { channel } = await serve([implement(Health, { check: () => ({}) })], { interceptors: [note("c"), note("d")] });
  await createClient(Health, channel, { interceptors: [note("a"), note("b")] }).check({});
  assert.deepEqual(order, ["a", "b", "c", "d", "/d", "/c", "/b", "/a"]);
});

test("a message over the limit is refused on either side", async () => {
  const { channel } = await serve([implement(Health, { check: () => ({}) })], { limits: { messageBytesMax: 100 } });
  await assert.rejects(createClient(Health, channel).check({ service: "x".repeat(200) }), error =>
    isRpcError(error, "resource_exhausted"),
  );
});

test("nobody listening is unavailable and certainly unprocessed", async () => {
  const channel = new Channel("127.0.0.1:9", { platform });
  after(() => channel.close());
  await assert.rejects(
    createClient(Health, channel).check({}),
    error => isRpcError(error, "unavailable") && error.unprocessed,
  );
});

test("a service given twice is refused at start", () => {
  const one = implement(Health, {});
  assert.throws(() => new RpcServer({ services: [one, one] }), /grpc\.health\.v1\.Health is given twice/);
});

test("an option of the channel beside a channel is refused: it would have no effect", () => {
  const channel = new Channel("localhost:1", { platform });
  assert.throws(() => createClient(Health, channel, { protocol: "connect" }), /protocol is an option of the channel/);
  createClient(Health, channel, { codec: "json", protocol: undefined });
});

test("mistakes in a call's options reject with a TypeError, and never throw before there is a promise", async () => {
  const { channel } = await serve([implement(Health, { check: () => ({}) })]);
  const client = createClient(Health, channel);
  const notAHeader = { name: "TypeError", message: 'metadata name "x y" is not a header name' };
  await assert.rejects(client.check({}, { metadata: { "x y": "1" } }), notAHeader);
  await assert.rejects(client.check({}, { timeoutMs: -1 }), { name: "TypeError", message: /timeoutMs is -1/ });
  await assert.rejects(client.check(undefined as never), {
    code: "invalid_argument",
    message: "the request is undefined, not a grpc.health.v1.HealthCheckRequest",
  });
});

test("a streaming handler that returns no iterable is reported with its method", async () => {
  const errors: unknown[] = [];
  const observer = { emit: (event: object) => void errors.push("error" in event ? event.error : undefined) };
  const handlers = { watch: async () => ({}) };
  const { channel } = await serve([implement(Health, handlers as never)], { observer });
  await assert.rejects(
    async () => {
      for await (const _ of createClient(Health, channel).watch({}));
    },
    error => isRpcError(error, "internal"),
  );
  const expected = "the handler of /grpc.health.v1.Health/Watch returned a promise instead of an async iterable";
  assert(errors.some(error => error instanceof TypeError && error.message === expected));
});

test("a server that is over does not listen again: its probes would say no for ever", async () => {
  const { server } = await serve([]);
  await server.close();
  await assert.rejects(server.listen({ port: 7 }), /make a new one/);
});

test("limits that would refuse everything are refused themselves", () => {
  for (const messageBytesMax of [0, -1, Number.NaN]) {
    assert.throws(() => new RpcServer({ services: [], limits: { messageBytesMax } }), RangeError);
  }
});
