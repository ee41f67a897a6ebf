import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  decodeBinaryHeader,
  encodeBinaryHeader,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { ElizaService, MisunderstandingSchema } from "../gen/eliza/v1/eliza_pb.ts";
import { abortOf } from "./eliza.ts";
import { clients, type RunningServer, servers } from "./peers.ts";

/** What connect-es promises to its users, whoever serves and whoever calls. */
let calls = 0;

async function* sentences(...list: readonly string[]) {
  for (const sentence of list) yield { sentence };
}

async function collect(messages: AsyncIterable<{ sentence: string }>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { sentence } of messages) seen.push(sentence);
  return seen;
}

async function failure(call: () => Promise<unknown>): Promise<ConnectError> {
  try {
    await call();
  } catch (error) {
    assert(error instanceof ConnectError, `${String(error)} is no ConnectError`);
    return error;
  }
  throw new assert.AssertionError({ message: "the call did not fail" });
}

function assertMisunderstanding(error: ConnectError, sentence: string): void {
  assert.equal(error.code, Code.FailedPrecondition);
  assert.equal(error.rawMessage, `"${sentence}" is 50 % größer`);
  assert.equal(error.metadata.get("x-why"), "because");
  assert.deepEqual([...decodeBinaryHeader(error.metadata.get("x-why-bin") ?? "")], [0, 255, 7]);
  const [detail] = error.findDetails(MisunderstandingSchema);
  assert.equal(detail?.sentence, sentence);
  assert.equal(detail?.times, 3);
}

for (const server of servers) {
  for (const variant of clients) {
    if (!server.httpVersions.includes(variant.httpVersion)) continue;
    // The library against itself says nothing about us.
    if (!server.isOurs && !variant.isOurs) continue;
    describe(`${variant.title} → ${server.title}`, () => {
      let running: RunningServer;
      let transport: Transport & Partial<AsyncDisposable>;
      let client: Client<typeof ElizaService>;
      before(async () => {
        running = await server.start();
        transport = variant.open(running.baseUrl);
        client = createClient(ElizaService, transport);
      });
      after(async () => {
        await running.close();
        await transport[Symbol.asyncDispose]?.();
      });

      test("a unary call carries message, metadata, headers and trailers", async () => {
        let header: Headers | undefined;
        let trailer: Headers | undefined;
        const { sentence } = await client.say(
          { sentence: "é" },
          {
            headers: { "X-Asked": "yes", "x-asked-bin": encodeBinaryHeader(Uint8Array.of(1, 254)) },
            onHeader: headers => {
              header = headers;
            },
            onTrailer: trailers => {
              trailer = trailers;
            },
          },
        );
        assert.equal(sentence, "you said: é");
        assert.equal(header?.get("x-head"), "heard yes");
        assert.equal(trailer?.get("x-tail"), "one, two");
        assert.deepEqual([...decodeBinaryHeader(trailer?.get("x-tail-bin") ?? "")], [254, 1]);
      });

      test("a server's stream keeps its order, between headers and trailers", async () => {
        const seen: string[] = [];
        const answers = client.introduce(
          { name: "Eliza", sentences: 100 },
          {
            onHeader: headers => seen.push(`head ${headers.get("x-head")}`),
            onTrailer: trailers => seen.push(`tail ${trailers.get("x-tail")}`),
          },
        );
        for await (const { sentence } of answers) seen.push(sentence);
        const expected = Array.from({ length: 100 }, (_, index) => `Eliza ${index}`);
        assert.deepEqual(seen, ["head hello", ...expected, "tail bye"]);
      });

      test("an empty stream has headers and trailers too", async () => {
        const seen: unknown[] = [];
        const answers = client.introduce(
          { name: "Nobody", sentences: 0 },
          { onHeader: headers => seen.push(headers.get("x-head")), onTrailer: tail => seen.push(tail.get("x-tail")) },
        );
        assert.deepEqual(await collect(answers), []);
        assert.deepEqual(seen, ["hello", "bye"]);
      });

      test("a client's stream is heard to its end", async () => {
        let tail: string | null = "";
        const summary = await client.summarize(sentences("one", "three", ""), {
          onTrailer: trailers => {
            tail = trailers.get("x-tail");
          },
        });
        assert.equal(summary.sentences, 3);
        assert.equal(summary.characters, 8);
        assert.equal(tail, "heard");
      });

      test("two streams are a conversation", { skip: variant.httpVersion === "1.1" }, async () => {
        const heard = Promise.withResolvers<void>();
        async function* speak() {
          yield { sentence: "first" };
          await heard.promise; // goes on only when the answer has come
          yield { sentence: "second" };
        }
        const seen: string[] = [];
        for await (const { sentence } of client.converse(speak())) {
          seen.push(sentence);
          heard.resolve();
        }
        assert.deepEqual(seen, ["you said: first", "you said: second"]);
      });

      test("an error has code, message, metadata and details", async () => {
        assertMisunderstanding(await failure(() => client.say({ sentence: "fail now" })), "fail now");
      });

      test("an error after messages of a stream has them too", async () => {
        const seen: string[] = [];
        const error = await failure(async () => {
          for await (const { sentence } of client.introduce({ name: "fail", sentences: 2 })) seen.push(sentence);
        });
        assert.deepEqual(seen, ["fail 0", "fail 1"]);
        assertMisunderstanding(error, "fail");
      });

      test("an error in the middle of a client's stream has them too", async () => {
        const error = await failure(() => client.summarize(sentences("good", "fail here", "unheard")));
        assertMisunderstanding(error, "fail here");
      });

      test("what is no ConnectError is internal, without its message", async () => {
        const error = await failure(() => client.say({ sentence: "break" }));
        assert.equal(error.code, Code.Internal);
        assert.equal(error.rawMessage, "internal error");
      });

      test("a method that nobody implements is unimplemented", async () => {
        const error = await failure(() => client.forget({ sentence: "it" }));
        assert.equal(error.code, Code.Unimplemented);
      });

      test("a deadline is told to the server and kept on both sides", async () => {
        const name = `wait ${++calls}`;
        const error = await failure(() => client.say({ sentence: name }, { timeoutMs: 50 }));
        assert.equal(error.code, Code.DeadlineExceeded);
        assert(await abortOf(name), "the handler's signal has a reason");
      });

      test("a deadline ends a stream", async () => {
        const name = `wait ${++calls}`;
        const seen: string[] = [];
        const error = await failure(async () => {
          const answers = client.introduce({ name, sentences: 1 }, { timeoutMs: 100 });
          for await (const { sentence } of answers) seen.push(sentence);
        });
        assert.equal(error.code, Code.DeadlineExceeded);
        assert.deepEqual(seen, [`${name} 0`]);
        await abortOf(name);
      });

      test("an aborted call is canceled, and its handler hears of it", async () => {
        const name = `wait ${++calls}`;
        const controller = new AbortController();
        const seen: string[] = [];
        const error = await failure(async () => {
          const answers = client.introduce({ name, sentences: 1 }, { signal: controller.signal });
          for await (const { sentence } of answers) {
            seen.push(sentence);
            controller.abort();
          }
        });
        assert.equal(error.code, Code.Canceled);
        assert.deepEqual(seen, [`${name} 0`]);
        await abortOf(name);
      });

      test("a call whose signal is aborted already does not begin", async () => {
        const error = await failure(() => client.say({ sentence: "late" }, { signal: AbortSignal.abort() }));
        assert.equal(error.code, Code.Canceled);
      });

      test("leaving the loop ends a stream without an error, and its handler hears of it", async () => {
        const name = `wait ${++calls}`;
        for await (const _ of client.introduce({ name, sentences: 1 })) break;
        await abortOf(name);
      });

      test("a megabyte passes both ways, alone and in streams", async () => {
        const sentence = "0123456789abcdef".repeat(65_536);
        // A GET cannot carry it: then it goes by POST.
        assert.equal((await client.say({ sentence })).sentence.length, sentence.length + 10);
        const summary = await client.summarize(sentences(sentence, sentence, sentence));
        assert.equal(summary.characters, 3 * sentence.length);
        const introduced = await collect(client.introduce({ name: sentence, sentences: 3 }));
        assert.deepEqual(
          introduced,
          [0, 1, 2].map(index => `${sentence} ${index}`),
        );
      });

      test("an iterable that throws fails the call", async () => {
        async function* broken() {
          yield { sentence: "one" };
          throw new ConnectError("no more ideas", Code.Aborted);
        }
        const error = await failure(() => client.summarize(broken()));
        assert([Code.Aborted, Code.Canceled].includes(error.code), Code[error.code]);
      });

      test("a server that is not there makes calls unavailable", async () => {
        const lost = await servers[0]?.start();
        await lost?.close();
        const nowhere = variant.open(lost?.baseUrl ?? "");
        const error = await failure(() => createClient(ElizaService, nowhere).say({ sentence: "hello?" }));
        assert.equal(error.code, Code.Unavailable);
        await nowhere[Symbol.asyncDispose]?.();
      });

      test("interceptors of both sides see requests and answers, and may change headers", async () => {
        const seen: string[] = [];
        const client: Interceptor = next => async request => {
          request.header.set("x-asked", `${request.method.name} at ${new URL(request.url).pathname}`);
          const response = await next(request);
          seen.push(`client ${response.header.get("x-head")}`);
          return response;
        };
        const serverSide: Interceptor = next => async request => {
          seen.push(`server ${request.service.typeName}.${request.method.name} ${request.stream}`);
          request.header.set("x-asked", `${request.header.get("x-asked")}!`);
          const response = await next(request);
          response.trailer.set("x-intercepted", "yes");
          return response;
        };
        const intercepted = await server.start([serverSide]);
        const route = variant.open(intercepted.baseUrl, [client]);
        const eliza = createClient(ElizaService, route);
        let tail: string | null = "";
        const onTrailer = (trailers: Headers) => {
          tail = trailers.get("x-intercepted");
        };
        await eliza.say({ sentence: "hello" }, { onTrailer });
        assert.equal(tail, "yes");
        assert.deepEqual(await collect(eliza.introduce({ name: "a", sentences: 1 }, { onTrailer })), ["a 0"]);
        assert.equal(tail, "yes");
        assert.equal((await eliza.summarize(sentences("x"))).sentences, 1);
        if (variant.httpVersion === "2") assert.equal((await collect(eliza.converse(sentences("x")))).length, 1);
        assert.deepEqual(seen.slice(0, 2), [
          "server eliza.v1.ElizaService.Say false",
          "client heard Say at /eliza.v1.ElizaService/Say!",
        ]);
        await intercepted.close();
        await route[Symbol.asyncDispose]?.();
      });
    });
  }
}
