import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteStream, ByteStreamHandler, Network, Platform } from "./index.ts";
import { systemPlatform } from "./index.ts";
import { VirtualNetwork, virtualPlatform } from "./virtual/index.ts";

/** The contract of byte streams and networks: every implementation runs it. */

interface Seen {
  readonly log: string[];
  readonly bytes: () => Buffer;
  readonly ended: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  /** Resolves when so many bytes have come. */
  received(count: number): Promise<void>;
}

function watch(stream: ByteStream, onData?: (chunk: Buffer) => void): Seen {
  const chunks: Buffer[] = [];
  const log: string[] = [];
  let total = 0;
  const ended = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<Error | undefined>();
  const waiting: { count: number; resolve: () => void }[] = [];
  stream.handler = {
    data(chunk) {
      total += chunk.length;
      log.push("data");
      chunks.push(Buffer.from(chunk));
      onData?.(chunk);
      for (const { count, resolve } of waiting) if (total >= count) resolve();
    },
    drained: () => void log.push("drained"),
    ended: () => {
      log.push("ended");
      ended.resolve();
    },
    closed: error => {
      log.push("closed");
      closed.resolve(error);
    },
  };
  return {
    log,
    bytes: () => Buffer.concat(chunks),
    ended: ended.promise,
    closed: closed.promise,
    received(count) {
      if (total >= count) return Promise.resolve();
      return new Promise(resolve => waiting.push({ count, resolve }));
    },
  };
}

async function connected(
  network: Network,
): Promise<{ client: ByteStream; server: ByteStream; close(): Promise<void> }> {
  const accepted = Promise.withResolvers<ByteStream>();
  const listening = await network.listen({ host: "127.0.0.1", port: 0 }, stream => accepted.resolve(stream));
  const client = await network.connect({ host: "127.0.0.1", port: listening.port });
  const server = await accepted.promise;
  return {
    client,
    server,
    async close() {
      client.destroy();
      server.destroy();
      await listening.close();
    },
  };
}

const networks: readonly (readonly [string, () => Platform])[] = [
  ["system", () => systemPlatform],
  ["virtual", () => virtualPlatform()],
  [
    "virtual, cut into pieces of 7 bytes, in system time",
    () => ({ ...systemPlatform, network: new VirtualNetwork(systemPlatform.clock, { chunkBytesMax: 7 }) }),
  ],
];

for (const [name, platform] of networks) {
  const check = (title: string, run: (network: Network) => Promise<void>) =>
    test(`${name} network: ${title}`, () => run(platform().network));

  check("carries bytes both ways in order", async network => {
    const { client, server, close } = await connected(network);
    const atServer = watch(server, chunk => server.write(Buffer.from(chunk)));
    const atClient = watch(client);
    client.write(Buffer.from("one "));
    client.writeAll([Buffer.from("two "), Buffer.from("three")]);
    await atClient.received(13);
    assert.equal(atServer.bytes().toString(), "one two three");
    assert.equal(atClient.bytes().toString(), "one two three");
    assert.equal(client.remotePort, server.localPort);
    assert.equal(server.remotePort, client.localPort);
    await close();
  });

  check("keeps what comes before the owner has set its handler", async network => {
    const { client, server, close } = await connected(network);
    watch(client);
    client.write(Buffer.from("early"));
    client.end();
    await new Promise(resolve => setTimeout(resolve, 5));
    const seen = watch(server);
    await seen.ended;
    assert.equal(seen.bytes().toString(), "early");
    await close();
  });

  check("half-closes: the other direction goes on, then both are closed, in order, without error", async network => {
    const { client, server, close } = await connected(network);
    const atServer = watch(server);
    const atClient = watch(client);
    client.end(); // nothing may be written afterwards
    assert.equal(client.write(Buffer.from("late")), false);
    await atServer.ended;
    server.write(Buffer.from("answer"));
    server.end();
    assert.equal(await atClient.closed, undefined);
    assert.equal(await atServer.closed, undefined);
    assert.equal(atClient.bytes().toString(), "answer");
    assert.deepEqual([...new Set(atClient.log)], ["data", "ended", "closed"]);
    assert.deepEqual(atServer.log, ["ended", "closed"]);
    await close();
  });

  check("stops the writer until the reader goes on, and loses nothing", async network => {
    const { client, server, close } = await connected(network);
    const piece = Buffer.alloc(100_000, "x");
    server.pause();
    const atServer = watch(server);
    let written = 0;
    const more = () => {
      while (written < 12_000_000) {
        written += piece.length;
        if (!client.write(piece)) return;
      }
    };
    const handler: ByteStreamHandler = { data() {}, drained: more, ended() {}, closed() {} };
    client.handler = handler;
    more();
    await new Promise(resolve => setTimeout(resolve, 5));
    assert.ok(written < 12_000_000, "the writer was told to stop");
    assert.ok(client.bufferedBytes > 0);
    assert.equal(atServer.bytes().length, 0);
    server.resume();
    await atServer.received(12_000_000);
    assert.equal(atServer.bytes().length, written);
    await close();
  });

  check("tells both ends that one of them was destroyed", async network => {
    const { client, server, close } = await connected(network);
    const atServer = watch(server);
    const atClient = watch(client);
    client.destroy(new Error("enough"));
    assert.equal((await atClient.closed)?.message, "enough");
    await atServer.ended;
    server.end();
    await atServer.closed;
    await close();
  });

  check("names host and port when nothing listens, and when the port is taken", async network => {
    const listening = await network.listen({ host: "127.0.0.1", port: 0 }, () => {});
    const { port } = listening;
    await assert.rejects(
      network.listen({ host: "127.0.0.1", port }, () => {}),
      (error: Error) => {
        assert.match(error.message, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: the port is taken`));
        assert.equal((error.cause as NodeJS.ErrnoException).code, "EADDRINUSE");
        return true;
      },
    );
    await listening.close();
    await assert.rejects(network.connect({ host: "127.0.0.1", port }), (error: Error) => {
      assert.match(error.message, new RegExp(`cannot connect to 127\\.0\\.0\\.1:${port}: connection refused`));
      return true;
    });
  });

  check("resolves names, and gives up a connection attempt when its signal says so", async network => {
    const addresses = await network.lookup("localhost");
    assert.ok(addresses.some(({ address }) => address === "127.0.0.1" || address === "::1"));
    const reason = new Error("no longer wanted");
    await assert.rejects(network.connect({ host: "127.0.0.1", port: 9 }, AbortSignal.abort(reason)), reason);
  });
}

test("virtual network: takes the time of its link, and a pulled cable is silent", async () => {
  const { network, clock } = virtualPlatform({ link: { latencyMs: 10 } });
  let server: ByteStream | undefined;
  const listening = await network.listen({ host: "::", port: 80 }, stream => {
    server = stream;
  });
  network.addHost("orders", "10.0.0.1");
  const connecting = network.connect({ host: "orders", port: 80 });
  await clock.advance(20);
  const client = await connecting;
  watch(client);
  const atServer = watch(server as ByteStream);
  client.write(Buffer.from("hello"));
  await clock.advance(9);
  assert.equal(atServer.bytes().length, 0);
  await clock.advance(1);
  assert.equal(atServer.bytes().toString(), "hello");
  for (const { conditions } of network.connections) conditions.isSilent = true;
  client.write(Buffer.from("lost"));
  await clock.advance(60_000);
  assert.deepEqual(atServer.log, ["data"]);
  network.conditions.isSilent = true;
  const refused = assert.rejects(network.connect({ host: "orders", port: 80 }), /no connection within 10000 ms/);
  await clock.advance(10_000);
  await refused;
  await listening.close();
  assert.equal(clock.pendingTimers, 0);
});

test("virtual network: a lost connection is an error at both ends", async () => {
  const platform = virtualPlatform();
  const { client, server } = await connected(platform.network);
  const ends = [watch(client), watch(server)];
  platform.network.cutAll();
  for (const end of ends) assert.equal(((await end.closed) as NodeJS.ErrnoException).code, "ECONNRESET");
});
