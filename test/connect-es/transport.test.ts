import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  Code,
  ConnectError,
  createClient,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { createChannel, createServer, isRpcError, type Server } from "trunkline";
import { connectServices, createTransport, type TransportOptions } from "trunkline/connect";
import { virtualPlatform } from "trunkline/testing";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";
import routes from "./eliza.ts";

let server: Server;
let target = "";
before(async () => {
  server = createServer({ services: connectServices(routes) });
  target = `127.0.0.1:${(await server.listen({ port: 0, host: "127.0.0.1" })).port}`;
});
after(() => server.close());

function eliza(options: TransportOptions = {}) {
  const transport = createTransport(target, options);
  after(() => transport.close());
  return createClient(ElizaService, transport);
}

test("targets are ours, URLs, and options with a baseUrl", async () => {
  const spellings = [
    createTransport(target),
    createTransport(`dns:///${target}`),
    createTransport(`http://${target}/`),
    createTransport({ baseUrl: `http://${target}` }),
    createTransport({ baseUrl: new URL(`http://${target}`), protocol: "connect", httpVersion: "1.1" }),
  ];
  for (const transport of spellings) {
    const { sentence } = await createClient(ElizaService, transport).say({ sentence: "hi" });
    assert.equal(sentence, "you said: hi");
    await transport.drain();
  }
});

test("a channel is shared, and not ended with the transport", async () => {
  await using channel = createChannel(target, { protocol: "connect" });
  const first = createTransport(channel);
  await createClient(ElizaService, first).say({ sentence: "hi" });
  await first.drain();
  first.close();
  await createClient(ElizaService, createTransport(channel)).say({ sentence: "hi" });
});

test("what is no target of ours is refused, with the reason", () => {
  assert.throws(() => createTransport(`http://${target}/api`), /has more than a host and a port/);
  assert.throws(() => createTransport("http://"), /is not a URL/);
  assert.throws(() => createTransport("nowhere"), /is not host:port/);
  assert.throws(() => createTransport(`http://${target}`, { tls: {} }), /use https:\/\//);
  assert.throws(() => createTransport(target, { useBinaryFormat: false } as object), {
    name: "TypeError",
    message: 'createTransport: the option useBinaryFormat has no effect here; use codec: "binary" or "json"',
  });
  assert.throws(() => createTransport(target, { defaultTimeoutMs: -1 }), /defaultTimeoutMs is -1/);
});

test("https needs a certificate that is trusted, and its failure is a ConnectError", async () => {
  await using transport = createTransport(`https://${target}`);
  await assert.rejects(createClient(ElizaService, transport).say({}), error => {
    assert(error instanceof ConnectError);
    assert.equal(error.code, Code.Unavailable);
    assert(isRpcError(error.cause, "unavailable"));
    return true;
  });
});

test("a default deadline holds for calls without one, and 0 switches it off", async () => {
  const impatient = eliza({ defaultTimeoutMs: 20 });
  await assert.rejects(impatient.say({ sentence: "wait for the default" }), { code: Code.DeadlineExceeded });
  const controller = new AbortController();
  const patient = impatient.say({ sentence: "wait for nothing" }, { timeoutMs: 0, signal: controller.signal });
  const outcome = await Promise.race([
    patient.then(
      () => "answered",
      () => "failed",
    ),
    eliza({ defaultTimeoutMs: 60 })
      .say({ sentence: "wait a little longer" })
      .catch(() => "still waiting"),
  ]);
  assert.equal(outcome, "still waiting");
  controller.abort();
  await assert.rejects(patient, { code: Code.Canceled });
});

test("deadlines are the platform's: seconds of virtual time take none", async () => {
  const platform = virtualPlatform();
  const virtual = createServer({ services: connectServices(routes), platform });
  const { port } = await virtual.listen({ port: 4000, host: "127.0.0.1" });
  const transport = createTransport(`127.0.0.1:${port}`, { platform });
  after(async () => {
    transport.close();
    await virtual.close();
  });
  const call = createClient(ElizaService, transport).say({ sentence: "wait in vain" }, { timeoutMs: 5_000 });
  const failed = assert.rejects(call, { code: Code.DeadlineExceeded });
  await platform.clock.advance(5_100);
  await failed;
});

test("the reason of an abort comes back as connect-es gives it", async () => {
  for (const interceptors of [[], [(next => request => next(request)) satisfies Interceptor]]) {
    const client = eliza({ interceptors });
    const refused = new ConnectError("changed my mind", Code.Aborted);
    await assert.rejects(client.say({}, { signal: AbortSignal.abort(refused) }), error => error === refused);
    await assert.rejects(client.say({}, { signal: AbortSignal.abort(new Error("tired")) }), {
      code: Code.Canceled,
      rawMessage: "tired",
    });
  }
});

test("a header that no protocol can carry fails the call before it is sent", async () => {
  for (const interceptors of [[], [(next => request => next(request)) satisfies Interceptor]]) {
    const client = eliza({ interceptors });
    await assert.rejects(client.say({}, { headers: { "x-name": "é" } }), { code: Code.InvalidArgument });
  }
});

test("headers of HTTP and of the protocol are the transport's", async () => {
  const headers = {
    "content-type": "text/plain",
    host: "elsewhere",
    te: "gzip",
    "grpc-timeout": "1n",
    "x-asked": "me",
  };
  let heard: string | null = "";
  const onHeader = (header: Headers) => {
    heard = header.get("x-head");
  };
  await eliza().say({ sentence: "hi" }, { headers, onHeader });
  assert.equal(heard, "heard me");
});

test("interceptors get the caller's values, may answer themselves and may change what is thrown", async () => {
  const attempt = createContextKey(0);
  const seen: unknown[] = [];
  const retrying: Interceptor = next => async request => {
    seen.push(request.contextValues.get(attempt), request.url, request.signal.aborted);
    try {
      return await next(request);
    } catch (error) {
      assert(error instanceof ConnectError);
      throw new ConnectError("tried once", Code.Unavailable, undefined, undefined, error);
    }
  };
  const client = eliza({ interceptors: [retrying] });
  const contextValues = createContextValues().set(attempt, 7);
  await client.say({ sentence: "hi" }, { contextValues });
  assert.deepEqual(seen, [7, `http://${target}/eliza.v1.ElizaService/Say`, false]);
  await assert.rejects(client.say({ sentence: "fail" }), { code: Code.Unavailable, rawMessage: "tried once" });
  const throwing = eliza({
    interceptors: [
      () => () => {
        throw new TypeError("a bug");
      },
    ],
  });
  await assert.rejects(throwing.say({}), error => error instanceof ConnectError);
});

test("a message that does not encode fails the call as a ConnectError", async () => {
  const read = async () => {
    for await (const _ of eliza().introduce({ sentences: 2 ** 40 }));
  };
  await assert.rejects(
    read,
    error => error instanceof ConnectError && /does not encode: expected an int32/.test(error.message),
  );
});

test("a request of one message is not taken from a stream of two", async () => {
  const transport = createTransport(target);
  after(() => transport.close());
  async function* two() {
    yield { name: "a" };
    yield { name: "b" };
  }
  const call = transport.stream(ElizaService.method.introduce, undefined, undefined, undefined, two());
  await assert.rejects(call, { code: Code.Unimplemented });
});
