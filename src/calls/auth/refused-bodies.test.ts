import assert from "node:assert/strict";
import { after, test } from "node:test";
import { isRpcError } from "../../errors/index.ts";
import { memoryPlatform } from "../../wire/transport/index.ts";
import { Channel } from "../channel/index.ts";
import { createClient, type Handlers, type Interceptor, implement, RpcServer } from "../rpc/index.ts";
import { authenticate } from "./authenticate.ts";
import { type GuardedClient, GuardedService, type Text } from "./guarded.fixture.ts";

const memory = memoryPlatform();

const handlers = {
  open: (text: Text) => text,
  async gather(texts: AsyncIterable<Text>) {
    for await (const text of texts) return text;
    return { value: "" };
  },
};

/** A connection's window has to be opened again for bytes that nobody wants, or it is shut for all calls after some. */
for (const [title, interceptors, code] of [
  ["without authentication", [], "resource_exhausted"],
  ["with authentication that refuses", [authenticate(() => undefined)], "unauthenticated"],
  [
    "with authentication that takes its time",
    [authenticate(() => new Promise(resolve => memory.clock.after(5, () => resolve(undefined))))],
    "unauthenticated",
  ],
] as readonly (readonly [string, readonly Interceptor[], string])[]) {
  test(`what is left of bodies that were refused does not shut the connection, ${title}`, async () => {
    const server = new RpcServer({
      services: [implement(GuardedService, handlers as unknown as Handlers<typeof GuardedService>)],
      interceptors,
      authentication: "elsewhere",
      limits: { receiveBytesMax: 1_000 },
      platform: memory,
    });
    const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
    const channel = new Channel(`127.0.0.1:${port}`, { platform: memory });
    after(async () => {
      channel.close();
      await server.close();
    });
    const client = createClient(GuardedService, channel) as unknown as GuardedClient;
    const value = "x".repeat(200_000);
    for (let i = 0; i < 12; i++) {
      const calls = [client.one({ value }), client.gather(streamOf(value))];
      for (const outcome of await Promise.allSettled(calls)) {
        assert.ok(outcome.status === "rejected" && isRpcError(outcome.reason), String(outcome.status));
        assert.equal(outcome.reason.code, code);
      }
    }
    assert.equal((await client.open({ value: "a" }, { timeoutMs: 5_000 })).value, "a");
  });
}

async function* streamOf(value: string): AsyncIterable<{ value: string }> {
  yield { value };
  yield { value };
}
