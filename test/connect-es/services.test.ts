import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createClient as createConnectClient,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { createClient, createServer, isRpcError, type Observer, RpcError, type ServerOptions } from "trunkline";
import { type ConnectServicesOptions, connectServices, createTransport } from "trunkline/connect";
import { ElizaService, MisunderstandingSchema } from "../gen/eliza/v1/eliza_pb.ts";
import routes, { misunderstanding } from "./eliza.ts";

async function serve(
  serve: (router: ConnectRouter) => unknown,
  options: ConnectServicesOptions = {},
  serverOptions: Partial<ServerOptions> = {},
): Promise<number> {
  const server = createServer({ services: connectServices(serve, options), ...serverOptions });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  after(() => server.close());
  return port;
}

function eliza(port: number, protocol: "grpc" | "connect" | "grpc-web" = "grpc") {
  const transport = createTransport(`127.0.0.1:${port}`, { protocol });
  after(() => transport.close());
  return createConnectClient(ElizaService, transport);
}

/** The context that a call's handler got. */
async function contextOf(port: number, seen: HandlerContext[], call: () => Promise<unknown>): Promise<HandlerContext> {
  seen.length = 0;
  await call();
  const [context] = seen;
  assert(context !== undefined, `no handler ran on port ${port}`);
  return context;
}

test("the context says what connect-es's says", async () => {
  const seen: HandlerContext[] = [];
  const port = await serve(router =>
    router.service(ElizaService, {
      say({ sentence }, context) {
        seen.push(context);
        return { sentence };
      },
    }),
  );
  const call = () => eliza(port, "connect").say({ sentence: "x" }, { timeoutMs: 5_000, headers: { "x-a": "1" } });
  const context = await contextOf(port, seen, call);
  assert.equal(context.service, ElizaService);
  assert.equal(context.method, ElizaService.method.say);
  assert.equal(context.protocolName, "connect");
  assert.equal(context.requestMethod, "POST");
  assert.equal(context.url, `http://127.0.0.1:${port}/eliza.v1.ElizaService/Say`);
  assert.equal(context.requestHeader.get("x-a"), "1");
  assert.equal(context.requestHeader.get("content-type"), "application/proto");
  const left = context.timeoutMs() ?? 0;
  assert(left > 4_000 && left <= 5_000, `${left} ms left of 5,000`);
  assert(context.signal.aborted, "the signal is aborted once the handler is done");
  assert.equal(context.requestHeader, context.requestHeader);
  const copy = { ...context };
  assert.equal(copy.responseHeader, context.responseHeader, "a spread has everything");
});

test("native clients, gRPC-Web and REST reach a router's handlers too", async () => {
  const seen: string[] = [];
  const port = await serve(router =>
    router.service(ElizaService, {
      say({ sentence }, context) {
        seen.push(`${context.protocolName} ${context.requestMethod}`);
        context.responseHeader.append("set-cookie", "a=1");
        context.responseHeader.append("set-cookie", "b=2");
        if (sentence === "fail") throw misunderstanding(sentence);
        return { sentence };
      },
    }),
  );
  const native = createClient(ElizaService, `127.0.0.1:${port}`);
  assert.equal((await native.say({ sentence: "hello" })).sentence, "hello");
  await eliza(port, "grpc-web").say({ sentence: "hello" });
  const answer = await fetch(`http://127.0.0.1:${port}/v1/say/hello`);
  assert.deepEqual(await answer.json(), { sentence: "hello" });
  assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.deepEqual(seen, ["grpc POST", "grpc-web POST", "rest GET"]);
  const failed = await fetch(`http://127.0.0.1:${port}/v1/say/fail`);
  assert.equal(failed.status, 400);
  const problem = (await failed.json()) as { code: string; detail: string; details: { "@type": string }[] };
  assert.equal(problem.code, "failed_precondition");
  assert.equal(problem.details[0]?.["@type"], "type.googleapis.com/eliza.v1.Misunderstanding");
  await assert.rejects(native.say({ sentence: "fail" }), error => {
    assert(isRpcError(error, "failed_precondition"));
    assert.equal(error.metadata["x-why"], "because");
    return true;
  });
});

test("handlers may be registered one by one, and the later registration counts", async () => {
  const port = await serve(router => {
    routes(router);
    router.rpc(ElizaService.method.say, ({ sentence }) => ({ sentence: `again: ${sentence}` }));
    assert.equal(router.handlers.length, 6);
  });
  const client = eliza(port);
  assert.equal((await client.say({ sentence: "x" })).sentence, "again: x");
  assert.equal((await client.summarize((async function* () {})())).sentences, 0);
});

test("a method that was not registered is unimplemented", async () => {
  const port = await serve(router => router.rpc(ElizaService.method.say, ({ sentence }) => ({ sentence })));
  await assert.rejects(
    (async () => {
      for await (const _ of eliza(port).introduce({ name: "x" }));
    })(),
    { code: Code.Unimplemented },
  );
});

test("a gate refuses calls before their handlers, and what it puts into the context arrives", async () => {
  const who = createContextKey("nobody", { description: "who calls" });
  const port = await serve(
    router =>
      router.service(ElizaService, {
        say: (_request, context) => ({ sentence: `${context.values.get(who)}` }),
        async *introduce(_request, context) {
          yield { sentence: context.values.get(who) };
        },
      }),
    {
      contextValues: call => createContextValues().set(who, `somebody at ${call.peer.address}`),
      requestGate(context) {
        if (context.requestHeader.get("authorization") === null) {
          throw new ConnectError("who are you?", Code.Unauthenticated);
        }
      },
    },
  );
  const client = eliza(port);
  await assert.rejects(client.say({}), { code: Code.Unauthenticated, rawMessage: "who are you?" });
  const headers = { authorization: "Bearer x" };
  assert.equal((await client.say({}, { headers })).sentence, "somebody at 127.0.0.1");
  for await (const { sentence } of client.introduce({}, { headers })) assert.equal(sentence, "somebody at 127.0.0.1");
});

test("interceptors of a service stand in the place of the router's", async () => {
  const seen: string[] = [];
  const noting = (name: string): Interceptor => {
    return next => request => {
      seen.push(name);
      return next(request);
    };
  };
  const port = await serve(
    router =>
      router.service(ElizaService, { say: ({ sentence }) => ({ sentence }) }, { interceptors: [noting("service")] }),
    { interceptors: [noting("router")] },
  );
  await eliza(port).say({ sentence: "x" });
  assert.deepEqual(seen, ["service"]);
});

test("the shutdown signal aborts handlers with its reason", async () => {
  const shutdown = new AbortController();
  const started = Promise.withResolvers<void>();
  const port = await serve(
    router =>
      router.service(ElizaService, {
        async say(_request, context) {
          started.resolve();
          // The client tries again, as the method may be repeated: by then the signal is aborted.
          if (!context.signal.aborted) {
            await new Promise(resolve => context.signal.addEventListener("abort", resolve));
          }
          throw context.signal.reason;
        },
      }),
    { shutdownSignal: shutdown.signal },
  );
  const call = eliza(port).say({ sentence: "x" });
  await started.promise;
  shutdown.abort(new ConnectError("closing for the night", Code.Unavailable));
  await assert.rejects(call, { code: Code.Unavailable, rawMessage: "closing for the night" });
});

test("an error that came from another server goes on with its details, without that server's metadata", async () => {
  const behind = await serve(routes);
  const client = eliza(behind);
  const port = await serve(router =>
    router.service(ElizaService, { say: (request, context) => client.say(request, { signal: context.signal }) }),
  );
  await assert.rejects(eliza(port).say({ sentence: "fail" }), error => {
    assert(error instanceof ConnectError);
    assert.equal(error.code, Code.FailedPrecondition);
    assert.equal(error.metadata.get("x-why"), null);
    assert.equal(error.findDetails(MisunderstandingSchema)[0]?.sentence, "fail");
    return true;
  });
});

test("errors of ours pass as they are, and others are reported", async () => {
  const reported: unknown[] = [];
  const observer: Observer = { emit: event => reported.push(event) };
  const cause = new Error("a secret");
  const port = await serve(
    router =>
      router.service(ElizaService, {
        say({ sentence }) {
          throw sentence === "ours" ? new RpcError("aborted", "ours") : cause;
        },
        introduce() {
          throw new ConnectError("at once", Code.OutOfRange);
        },
      }),
    {},
    { observer },
  );
  const client = eliza(port);
  await assert.rejects(client.say({ sentence: "ours" }), { code: Code.Aborted, rawMessage: "ours" });
  await assert.rejects(client.say({ sentence: "x" }), { code: Code.Internal, rawMessage: "internal error" });
  const failed = reported.filter(event => (event as { type: string }).type === "rpc.handler.failed");
  assert.deepEqual(failed, [{ type: "rpc.handler.failed", method: "/eliza.v1.ElizaService/Say", error: cause }]);
  await assert.rejects(
    (async () => {
      for await (const _ of client.introduce({}));
    })(),
    { code: Code.OutOfRange },
  );
});

test("what cannot be sent as metadata fails the call, and never the process", async () => {
  const reported: string[] = [];
  const observer: Observer = {
    emit: event => {
      const { type, error } = event as { type: string; error?: unknown };
      if (type === "rpc.handler.failed") reported.push(String(error));
    },
  };
  const port = await serve(
    router =>
      router.service(ElizaService, {
        say({ sentence }, context) {
          if (sentence === "error") throw new ConnectError("why", Code.Aborted, { "x-é": "x".repeat(0), "x-why": "é" });
          context.responseHeader.set("x-head", "é");
          return { sentence };
        },
        async *introduce(_request, context) {
          context.responseTrailer.set("x-tail", "é");
          yield {};
        },
      }),
    {},
    { observer },
  );
  for (const protocol of ["grpc", "connect"] as const) {
    const client = eliza(port, protocol);
    await assert.rejects(client.say({ sentence: "x" }), { code: Code.Internal });
    await assert.rejects(
      (async () => {
        for await (const _ of client.introduce({}));
      })(),
      { code: Code.Internal },
    );
  }
  assert.equal(reported.length, 4);
  assert.match(reported[0] ?? "", /x-head.*printable ASCII/);
});

test("options that would have no effect are refused with what to use instead", () => {
  assert.throws(() => connectServices(routes, { readMaxBytes: 5 } as object), {
    name: "TypeError",
    message:
      "connectServices: the option readMaxBytes has no effect here; use createServer({ limits: { receiveBytesMax } })",
  });
  assert.throws(
    () => connectServices(router => router.service(ElizaService, {}, { grpc: false } as object)),
    /router of eliza.v1.ElizaService: the option grpc has no effect here/,
  );
});
