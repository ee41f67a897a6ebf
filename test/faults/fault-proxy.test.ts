import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { FaultProxy } from "./fault-proxy.ts";
import { laneBytesMax } from "./lane.ts";

/** A server that answers with what it gets, behind a proxy, and a connection through it. */
async function echo() {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await FaultProxy.start({ port: (server.address() as AddressInfo).port });
  const clients: Socket[] = [];
  return {
    proxy,
    port: (server.address() as AddressInfo).port,
    sockets,
    async open(): Promise<Socket> {
      const client = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
      clients.push(client);
      client.on("error", () => {});
      await once(client, "connect");
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await proxy[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let got = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    got += (chunk as Buffer).length;
    if (got >= bytes) break;
  }
  return Buffer.concat(chunks);
}

const pattern = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => i % 251));

describe("fault proxy", { timeout: 30_000 }, () => {
  test("passes bytes and the end on when it has no faults", async () => {
    await using target = await echo();
    const client = await target.open();
    client.end(pattern(1_000_000));
    assert.deepEqual(await read(client, Infinity), pattern(1_000_000));
  });

  test("resets connections until it is told its target", async () => {
    await using target = await echo();
    await using proxy = await FaultProxy.start();
    const early = connect({ port: proxy.port, host: "127.0.0.1" });
    const [error] = (await once(early, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
    proxy.aim({ port: target.port });
    const client = connect({ port: proxy.port, host: "127.0.0.1" });
    client.end(pattern(100));
    assert.deepEqual(await read(client, Infinity), pattern(100));
    client.destroy();
  });

  test("a reset reaches both sides, an end comes as one", async () => {
    await using target = await echo();
    const reset = await target.open();
    reset.write("a");
    await read(reset, 1);
    const [seen] = target.sockets;
    target.proxy.cut("reset");
    const [[error]] = await Promise.all([once(reset, "error"), once(seen as Socket, "error")]);
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");

    const ended = await target.open();
    ended.write("a");
    await read(ended, 1);
    target.proxy.cut("end");
    assert.equal((await read(ended, Infinity)).length, 0);
  });

  test("refuses new connections, lets old ones be, and comes back on its port", async () => {
    await using target = await echo();
    const old = await target.open();
    const { port } = target.proxy;
    target.proxy.refuse();
    const refused = connect({ port, host: "127.0.0.1" });
    const [error] = await once(refused, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNREFUSED");
    old.write("still");
    assert.equal((await read(old, 5)).toString(), "still");
    await target.proxy.accept();
    assert.equal(target.proxy.port, port);
    const next = await target.open();
    next.write("again");
    assert.equal((await read(next, 5)).toString(), "again");
  });

  test("latency delays each way and keeps order; less than asked for never", async () => {
    await using target = await echo();
    target.proxy.set({ toTarget: { latencyMs: 60 }, toClient: { latencyMs: 90 } });
    const client = await target.open();
    const startMs = performance.now();
    client.write(pattern(10_000));
    assert.deepEqual(await read(client, 10_000), pattern(10_000));
    assert(performance.now() - startMs >= 149);
  });

  test("bandwidth makes a lane narrow, and what it holds is bounded", async () => {
    await using target = await echo();
    target.proxy.set({ toClient: { bytesPerSecond: 500_000 } });
    const client = await target.open();
    const startMs = performance.now();
    client.write(pattern(100_000));
    assert.deepEqual(await read(client, 100_000), pattern(100_000));
    assert(performance.now() - startMs >= 195, "100 kB at 500 kB/s take 200 ms");
  });

  test("a stopped lane holds a bounded amount, its sender is blocked, and everything comes when it goes on", async () => {
    await using target = await echo();
    target.proxy.set({ toTarget: { isStopped: true } });
    const client = await target.open();
    const bytes = pattern(8_000_000);
    client.write(bytes);
    const [connection] = target.proxy.connections;
    while ((connection?.toTarget.heldBytes ?? 0) < laneBytesMax) await new Promise(resolve => setImmediate(resolve));
    for (let turn = 0; turn < 100; turn++) await new Promise(resolve => setImmediate(resolve));
    assert((connection?.toTarget.heldBytes ?? Infinity) < laneBytesMax + 65_537);
    assert.equal(connection?.toTarget.passedBytes, 0);
    assert(client.writableLength > 0);
    target.proxy.heal();
    assert.deepEqual(await read(client, bytes.length), bytes);
  });

  test("half open: one direction stops, the other goes on", async () => {
    await using target = await echo();
    const client = await target.open();
    client.write("a");
    await read(client, 1);
    const [connection] = target.proxy.connections;
    connection?.toClient.set({ isStopped: true });
    client.write("bcd");
    while (connection?.toTarget.passedBytes !== 4) await new Promise(resolve => setImmediate(resolve));
    assert.equal(connection.toClient.passedBytes, 1);
    connection.toClient.set({ isStopped: false });
    assert.equal((await read(client, 3)).toString(), "bcd");
  });

  test("a black hole accepts and says nothing; another connection of it can be well", async () => {
    await using target = await echo();
    target.proxy.blackHole();
    const lost = await target.open();
    const well = await target.open();
    while (target.proxy.connections.length < 2) await new Promise(resolve => setImmediate(resolve));
    const open = { isStopped: false };
    target.proxy.connections[1]?.set({ toTarget: open, toClient: open });
    lost.write("lost");
    well.write("well");
    assert.equal((await read(well, 4)).toString(), "well");
    assert.equal(lost.bytesRead, 0);
  });

  test("cuts after n bytes, which all arrive", async () => {
    for (const bytes of [1, 17, 5_000]) {
      await using target = await echo();
      target.proxy.set({ toClient: { cutAfterBytes: bytes } });
      const client = await target.open();
      client.write(pattern(10_000));
      assert.deepEqual(await read(client, Infinity), pattern(10_000).subarray(0, bytes));
    }
  });

  test("a target that is not there resets the client", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await using proxy = await FaultProxy.start({ port });
    const client = connect({ port: proxy.port, host: "127.0.0.1" });
    const [error] = await once(client, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");
  });

  test("disposing ends everything at once, also what is held", async () => {
    await using target = await echo();
    target.proxy.blackHole();
    const client = await target.open();
    client.write("a");
    await target.proxy[Symbol.asyncDispose]();
    assert.deepEqual(target.proxy.connections, []);
    if (!client.destroyed) await once(client, "close");
  });
});
