import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { after, describe, test } from "node:test";
import { create, createFileRegistry, type DescService, type Message } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  Int32ValueSchema,
} from "@bufbuild/protobuf/wkt";
import { isRpcError, RpcError, type RpcErrorOptions } from "../../errors/index.ts";
import { memoryPlatform } from "../../wire/transport/index.ts";
import { Channel, type ChannelOptions } from "../channel/index.ts";
import type { Call, Interceptor } from "./call.ts";
import type { CallOptions } from "./call-options.ts";
import { type ClientOptions, createClient } from "./client.ts";
import { type Encoding, encodings } from "./compression.ts";
import { type Handlers, implement } from "./implement.ts";
import type { Metadata } from "./metadata.ts";
import { responseEncoding } from "./protocols/enveloped-server.ts";
import { envelope } from "./protocols/message.ts";
import { RpcServer, type RpcServerOptions } from "./server.ts";
import type { ServerCall } from "./server-call.ts";

type Text = Message & { value: string };
type TextInit = { value: string };

/** A service with a method of each kind, over messages of one string. */
interface TextClient {
  one(request: TextInit, options?: CallOptions): Promise<Text>;
  many(request: TextInit, options?: CallOptions): AsyncIterable<Text>;
  gather(requests: AsyncIterable<TextInit>, options?: CallOptions): Promise<Text>;
  chat(requests: AsyncIterable<TextInit>, options?: CallOptions): AsyncIterable<Text>;
}
interface TextHandlers {
  one(request: Text, call: Call): Promise<TextInit> | TextInit;
  many(request: Text, call: Call): AsyncIterable<TextInit>;
  gather(requests: AsyncIterable<Text>, call: Call): Promise<TextInit>;
  chat(requests: AsyncIterable<Text>, call: Call): AsyncIterable<TextInit>;
}

const wrapper = ".google.protobuf.StringValue";
const TextService = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      file_google_protobuf_wrappers.proto,
      create(FileDescriptorProtoSchema, {
        name: "text.proto",
        package: "text",
        syntax: "proto3",
        dependency: ["google/protobuf/wrappers.proto"],
        service: [
          {
            name: "TextService",
            method: [
              { name: "One", inputType: wrapper, outputType: wrapper, options: { idempotencyLevel: 1 } },
              { name: "Many", inputType: wrapper, outputType: wrapper, serverStreaming: true },
              { name: "Gather", inputType: wrapper, outputType: wrapper, clientStreaming: true },
              { name: "Chat", inputType: wrapper, outputType: wrapper, clientStreaming: true, serverStreaming: true },
            ],
          },
        ],
      }),
    ],
  }),
).getService("text.TextService") as DescService;

const big = "0123456789abcdef".repeat(32_768); // 512 KiB: larger than every window to begin with

async function* of(...texts: readonly string[]): AsyncIterable<TextInit> {
  for (const value of texts) yield { value };
}

async function values(messages: AsyncIterable<Text>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { value } of messages) seen.push(value);
  return seen;
}

const handlers: TextHandlers = {
  one({ value }, call) {
    call.responseHeaders.set("x-head", String(call.metadata.get("x-asked")));
    call.responseTrailers.set("x-tail-bin", new Uint8Array([1, 2]));
    if (value === "fail") {
      throw new RpcError("failed_precondition", "50 % of größe", {
        details: [{ type: "text.Detail", value: new Uint8Array([9]) }],
        metadata: { "x-why": ["because", "therefore"] },
      });
    }
    return { value };
  },
  async *many({ value }) {
    for (let i = 0; i < 3; i++) yield { value: `${value}${i}` };
    if (value === "fail") throw new RpcError("aborted", "in the middle");
  },
  async gather(requests) {
    return { value: (await values(requests)).join(",") };
  },
  async *chat(requests) {
    for await (const { value } of requests) yield { value: value.toUpperCase() };
  },
};

const platform = memoryPlatform();
let nextPort = 2000;

interface Served {
  readonly client: TextClient;
  readonly server: RpcServer;
  readonly channel: Channel;
  readonly port: number;
}

async function serve(
  channelOptions: ChannelOptions,
  clientOptions: Omit<ClientOptions, keyof ChannelOptions> = {},
  serverOptions: Partial<RpcServerOptions> = {},
  served: TextHandlers = handlers,
): Promise<Served> {
  const services = [implement(TextService, served as unknown as Handlers<typeof TextService>)];
  const server = new RpcServer({ services, platform, ...serverOptions });
  const { port } = await server.listen({ port: nextPort++, host: "127.0.0.1" });
  const channel = new Channel(`127.0.0.1:${port}`, { ...channelOptions, platform });
  after(async () => {
    channel.close();
    await server.close();
  });
  return { server, channel, port, client: createClient(TextService, channel, clientOptions) as unknown as TextClient };
}

const variants = [
  { protocol: "grpc", httpVersion: "2" },
  { protocol: "grpc-web", httpVersion: "2" },
  { protocol: "grpc-web", httpVersion: "1.1" },
  { protocol: "connect", httpVersion: "2" },
  { protocol: "connect", httpVersion: "1.1" },
] as const;

for (const variant of variants) {
  for (const codec of ["binary", "json"] as const) {
    describe(`${variant.protocol} over HTTP/${variant.httpVersion} with ${codec} messages`, () => {
      test("a unary call carries message, metadata, headers and trailers", async () => {
        const { client } = await serve(variant, { codec });
        const seen: unknown[] = [];
        const answer = await client.one(
          { value: "é" },
          {
            metadata: { "x-asked": "yes" },
            onHeaders: headers => seen.push(headers.get("x-head")),
            onTrailers: trailers => seen.push([...(trailers.get("x-tail-bin") as Uint8Array)]),
          },
        );
        assert.equal(answer.value, "é");
        assert.deepEqual(seen, ["yes", [1, 2]]);
      });

      test("an error carries code, message, details and repeated metadata", async () => {
        const { client } = await serve(variant, { codec });
        await assert.rejects(client.one({ value: "fail" }), error => {
          assert(isRpcError(error, "failed_precondition"));
          assert.equal(error.message, "50 % of größe");
          assert.deepEqual(error.metadata["x-why"], ["because", "therefore"]);
          const [detail] = error.details;
          assert(detail !== undefined && "type" in detail);
          assert.equal(detail.type, "text.Detail");
          assert.deepEqual([...detail.value], [9]);
          return true;
        });
      });

      test("streams of all kinds carry messages, also larger than the window", async () => {
        const { client } = await serve(variant, { codec });
        assert.deepEqual(await values(client.many({ value: "a" })), ["a0", "a1", "a2"]);
        assert.equal((await client.gather(of("a", big, "c"))).value, `a,${big},c`);
        assert.deepEqual(await values(client.many({ value: big })), [`${big}0`, `${big}1`, `${big}2`]);
      });

      test("an error in the middle of a stream comes after its messages", async () => {
        const { client } = await serve(variant, { codec });
        const seen: string[] = [];
        const reading = (async () => {
          for await (const { value } of client.many({ value: "fail" })) seen.push(value);
        })();
        await assert.rejects(reading, error => isRpcError(error, "aborted") && error.message === "in the middle");
        assert.equal(seen.length, 3);
      });

      test("messages are compressed both ways in every encoding", async () => {
        for (const compression of encodings) {
          const { client } = await serve(variant, { codec, compression, compressBytesMin: 0 });
          assert.equal((await client.one({ value: big })).value, big);
          assert.deepEqual(await values(client.chat(of("a", "", "c"))), ["A", "", "C"]);
        }
      });

      test("an error whose metadata or details cannot be sent is internal, and the process lives on", async () => {
        // A handler that put a caller's text into the metadata of its error ended the process by an unhandled rejection.
        const broken: RpcErrorOptions[] = [
          { metadata: { "x-why": "é" } },
          { details: [[Int32ValueSchema, { value: 2 ** 40 }]] },
        ];
        for (const options of broken) {
          const fail = () => {
            throw new RpcError("aborted", "why", options);
          };
          const { client } = await serve(variant, { codec }, {}, { ...handlers, one: fail, many: fail });
          await assert.rejects(client.one({ value: "a" }), error => isRpcError(error, "internal"));
          await assert.rejects(values(client.many({ value: "a" })), error => isRpcError(error, "internal"));
        }
      });

      test("a caller that aborts reads nothing more, also when the whole answer has come already", async () => {
        // How packets are cut decided: messages that had come with the first were read on, and the call ended well.
        const { client } = await serve(variant, { codec });
        const caller = new AbortController();
        const { signal } = caller;
        const { promise: isComplete, resolve: onTrailers } = Promise.withResolvers<Metadata>();
        const messages = client.many({ value: "a" }, { signal, onTrailers })[Symbol.asyncIterator]();
        assert.equal((await messages.next()).value?.value, "a0");
        await isComplete;
        caller.abort("enough");
        await assert.rejects(messages.next(), error => isRpcError(error, "cancelled") && error.cause === "enough");
        assert.deepEqual(await messages.next(), { done: true, value: undefined });
        assert.equal(getEventListeners(signal, "abort").length, 0);
      });

      test("a caller that aborts in the middle of an answer does not read what waits", async () => {
        const { promise: isSent, resolve: sent } = Promise.withResolvers<void>();
        const { promise: isOver, resolve: over } = Promise.withResolvers<void>();
        const { client } = await serve(
          variant,
          { codec },
          {},
          {
            ...handlers,
            async *many(_, { signal }) {
              signal.addEventListener("abort", () => over());
              for (let i = 0; i < 3; i++) yield { value: String(i) };
              sent();
              await isOver;
            },
          },
        );
        const caller = new AbortController();
        const messages = client.many({ value: "" }, { signal: caller.signal })[Symbol.asyncIterator]();
        await messages.next();
        await isSent;
        caller.abort();
        await assert.rejects(messages.next(), error => isRpcError(error, "cancelled"));
        await isOver;
      });

      test("a signal that outlives its calls keeps nothing of them", async () => {
        const { client } = await serve(variant, { codec });
        const { signal } = new AbortController();
        await client.one({ value: "a" }, { signal });
        assert.deepEqual(await values(client.many({ value: "a" }, { signal })), ["a0", "a1", "a2"]);
        for await (const _ of client.many({ value: "a" }, { signal })) break;
        await assert.rejects(values(client.many({ value: "fail" }, { signal })), error => isRpcError(error, "aborted"));
        assert.equal(getEventListeners(signal, "abort").length, 0);
      });

      test("a bidirectional stream whose requests end before its answers is complete", async () => {
        const { client } = await serve(variant, { codec });
        assert.deepEqual(await values(client.chat(of("a", "b"))), ["A", "B"]);
      });
    });
  }
}

for (const encoding of encodings) {
  test(`a bomb of ${encoding} is refused at the limit, not when memory is full`, async () => {
    const { client } = await serve(
      { protocol: "grpc" },
      { compression: encoding as Encoding, limits: { sendBytesMax: 1 << 30 } },
      { limits: { receiveBytesMax: 100_000 } },
    );
    await assert.rejects(client.one({ value: "a".repeat(50_000_000) }), error =>
      isRpcError(error, "resource_exhausted"),
    );
  });
}

test("a message as large as the receive limit is taken, one byte more is refused, whatever may be sent", async () => {
  // A string of n bytes is a message of n + 4 bytes here: tag and a length of three bytes.
  const { client } = await serve({}, {}, { limits: { receiveBytesMax: 100_000, sendBytesMax: 200_000 } });
  assert.equal((await client.one({ value: "a".repeat(99_996) })).value.length, 99_996);
  await assert.rejects(client.one({ value: "a".repeat(99_997) }), error => isRpcError(error, "resource_exhausted"));
});

describe("what a server compresses", () => {
  const rows: readonly [
    responses: "mirror" | "accepted" | "never",
    handler: boolean | undefined,
    request: string | undefined,
    accepted: string | undefined,
    encoding: Encoding | undefined,
  ][] = [
    ["mirror", undefined, undefined, "gzip", undefined],
    ["mirror", undefined, "zstd", "gzip", "zstd"],
    ["mirror", undefined, "snappy", "gzip", undefined],
    ["mirror", true, undefined, "snappy, br;q=0.5", "br"],
    ["mirror", true, undefined, "gzip;q=0, deflate", "deflate"],
    ["mirror", true, undefined, undefined, undefined],
    ["accepted", undefined, undefined, "identity, br, gzip", "br"],
    ["accepted", undefined, undefined, "identity", undefined],
    ["never", undefined, "gzip", "gzip", undefined],
    ["never", true, undefined, "gzip", "gzip"],
  ];
  for (const [responses, handler, request, accepted, encoding] of rows) {
    const name = `${responses}, handler ${handler}, request ${request}, accepted ${accepted}: ${encoding}`;
    test(name, () => {
      const call = {
        host: { compression: { responses, bytesMin: 0 } },
        compressResponses: handler,
        exchange: { fields: { get: () => accepted } },
      } as unknown as ServerCall;
      assert.equal(responseEncoding(call, request, "accept-encoding"), encoding);
    });
  }
});

test("interceptors run around calls of all four kinds on both sides and may replace messages", async () => {
  const seen: string[] = [];
  const note =
    (side: string): Interceptor =>
    async (call, next) => {
      seen.push(`${side} ${call.method.localName} ${call.method.kind}`);
      return next();
    };
  const { client } = await serve({}, { interceptors: [note("client")] }, { interceptors: [note("server")] });
  await client.one({ value: "" });
  await values(client.many({ value: "" }));
  await client.gather(of("a"));
  await values(client.chat(of("a")));
  const expected = [
    ["one", "unary"],
    ["many", "server_streaming"],
    ["gather", "client_streaming"],
    ["chat", "bidi_streaming"],
  ].flatMap(([name, kind]) => [`client ${name} ${kind}`, `server ${name} ${kind}`]);
  assert.deepEqual(seen, expected);
});

test("an answer that comes before the request has ended stops the request", async () => {
  const early: TextHandlers = { ...handlers, gather: async () => ({ value: "enough" }) };
  const { client, server } = await serve({}, {}, {}, early);
  let isReturned = false;
  const endless = async function* (): AsyncIterable<TextInit> {
    try {
      for (;;) {
        yield { value: "more" };
        await new Promise<void>(resolve => {
          setImmediate(resolve);
        });
      }
    } finally {
      isReturned = true;
    }
  };
  assert.equal((await client.gather(endless())).value, "enough");
  while (!isReturned) {
    await new Promise<void>(resolve => {
      setImmediate(resolve);
    });
  }
  assert.equal(server.activeCalls, 0);
});

test("gRPC over HTTP/1.1 is refused when the channel is made", () => {
  assert.throws(() => new Channel("127.0.0.1:1", { protocol: "grpc", httpVersion: "1.1" }), /gRPC needs HTTP\/2/);
});

test("methods without side effects go as GET when asked, over long ones as POST", async () => {
  const methods: string[] = [];
  const noting: Interceptor = async (call, next) => {
    methods.push((call as unknown as { exchange: { method: string } }).exchange.method);
    return next();
  };
  for (const codec of ["binary", "json"] as const) {
    const { client } = await serve(
      { protocol: "connect", httpVersion: "1.1" },
      { codec, useHttpGet: true },
      { interceptors: [noting] },
    );
    assert.equal((await client.one({ value: "ä?&=%" })).value, "ä?&=%");
    assert.equal((await client.one({ value: big })).value, big);
  }
  assert.deepEqual(methods, ["GET", "POST", "GET", "POST"]);
});

test("gRPC-Web in its text form is base64 both ways, whatever the cuts, over HTTP/1.1", async () => {
  const { port } = await serve({ protocol: "connect" });
  const request = envelope(0, Buffer.from([0x0a, 2, 0x68, 0x69]));
  const text = request.subarray(0, 4).toString("base64") + request.subarray(4).toString("base64");
  const answer = await exchange(
    port,
    "POST /text.TextService/One HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" +
      `content-type: application/grpc-web-text\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
  );
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /content-type: application\/grpc-web-text\+proto/);
  assert(answer.includes(request.toString("base64")), answer);
  const trailers = envelope(0x80, Buffer.from("grpc-status: 0\r\nx-tail-bin: AQI\r\n"));
  assert(answer.includes(trailers.toString("base64")), answer);
});

test("an HTTP/1.1 answer that leaves a rest of the request says that the connection closes", async () => {
  const { port } = await serve({ protocol: "connect" }, {}, { limits: { receiveBytesMax: 100 } });
  const prefix = "POST /text.TextService/Gather HTTP/1.1\r\nhost: a\r\ncontent-type: application/connect+proto\r\n";
  const answer = await exchange(port, `${prefix}transfer-encoding: chunked\r\n\r\n5\r\n\0\0\x10\0\0\r\n`);
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /connection: close/);
  assert.match(answer, /resource_exhausted/);
});

test("handlers whose callers have given up still count, and beyond the limit calls are refused unprocessed", async () => {
  const waiting: (() => void)[] = [];
  const callers: AbortController[] = [];
  const heard: (() => void)[] = [];
  const slow: TextHandlers = {
    ...handlers,
    one: ({ value }, { signal }) => {
      if (value !== "wait") return { value };
      signal.addEventListener("abort", () => heard.shift()?.());
      callers.shift()?.abort();
      return new Promise(resolve => waiting.push(() => resolve({ value })));
    },
  };
  const { client, server } = await serve({}, {}, { limits: { handlersPerConnectionMax: 3 } }, slow);
  for (let i = 0; i < 3; i++) {
    const caller = new AbortController();
    callers.push(caller);
    const serverHeard = new Promise<void>(resolve => heard.push(resolve));
    const call = client.one({ value: "wait" }, { signal: caller.signal });
    await assert.rejects(call, error => isRpcError(error, "cancelled"));
    await serverHeard;
  }
  assert.equal(server.activeCalls, 0);
  assert.equal(waiting.length, 3);
  await assert.rejects(client.one({ value: "a" }), error => isRpcError(error, "unavailable") && error.unprocessed);
  for (const finish of waiting) finish();
  assert.equal((await client.one({ value: "a" })).value, "a");
});

test("a compressed message of a stream that does not decode fails the call when it is taken", async () => {
  const { port } = await serve({ protocol: "connect" });
  const head =
    "POST /text.TextService/Gather HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" +
    "content-type: application/connect+proto\r\nconnect-content-encoding: gzip\r\n";
  const body = "content-length: 8\r\n\r\n\x01\0\0\0\x03abc";
  const answer = await exchange(port, head + body);
  assert.match(answer, /"code":"invalid_argument"/);
  assert.match(answer, /not valid gzip/);
});

for (const [form, message] of Object.entries({
  "URL-safe without padding": "CgI_Pg",
  "URL-safe with padding": "CgI_Pg==",
  ordinary: "CgI%2FPg%3D%3D",
})) {
  test(`a Connect GET may have its message in ${form} base64`, async () => {
    const { port } = await serve({ protocol: "connect" });
    const query = `connect=v1&encoding=proto&base64=1&message=${message}`;
    const answer = await exchange(
      port,
      `GET /text.TextService/One?${query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert(answer.endsWith("\r\n\r\n\n\x02?>"), answer);
  });
}

test("a Connect GET with something else than base64 is an invalid argument", async () => {
  const { port } = await serve({ protocol: "connect" });
  const query = "connect=v1&encoding=proto&base64=1&message=C*";
  const answer = await exchange(
    port,
    `GET /text.TextService/One?${query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.match(answer, /not valid base64/);
});

/** Sends bytes on a connection of their own; resolves with all that came when the server has ended it. */
async function exchange(port: number, request: string): Promise<string> {
  const stream = await platform.network.connect({ host: "127.0.0.1", port });
  let answer = "";
  await new Promise<void>(resolve => {
    stream.handler = {
      data: chunk => {
        answer += chunk.toString("latin1");
      },
      drained() {},
      ended: resolve,
      closed: () => resolve(),
    };
    stream.write(Buffer.from(request, "latin1"));
  });
  return answer;
}
