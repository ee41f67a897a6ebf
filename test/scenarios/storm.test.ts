/** A retry storm: three layers of servers and clients, each with its retries, before backends of which none works. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, RpcError } from "../../src/exports/index.ts";
import { virtualPlatform } from "../../src/platform/virtual/index.ts";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";
import { Host } from "./host.ts";

const perSecond = 1_000;

test("three layers before backends that all fail send them at most a quarter more than was offered", async t => {
  const platform = virtualPlatform({ seed: 5 });
  const { clock } = platform;
  platform.network.conditions.latencyMs = 1;
  const closing: (() => void)[] = [];
  t.after(() => {
    for (const close of closing) close();
  });
  const addresses = (layer: number, count: number) => Array.from({ length: count }, (_, n) => `10.${layer}.0.${n + 1}`);
  const clientOf = (hosts: readonly Host[]) => {
    const target = `static:///${hosts.map(({ address }) => `${address}:80`).join(",")}`;
    return createClient(ElizaService, target, { platform });
  };
  const start = async (layer: number, count: number, below: readonly Host[] | undefined) => {
    const hosts = addresses(layer, count).map(address => {
      const client = below === undefined ? undefined : clientOf(below);
      return new Host(platform, address, async () => {
        if (client === undefined) throw new RpcError("unavailable", "down");
        return (await client.say({})).sentence;
      });
    });
    for (const host of hosts) await host.start();
    return hosts;
  };
  const backends = await start(3, 3, undefined);
  const middle = await start(2, 2, backends);
  const front = await start(1, 2, middle);
  const edge = clientOf(front);

  const arrived = (hosts: readonly Host[], fromMs: number) =>
    hosts.flatMap(({ arrivals }) => arrivals).filter(({ atMs }) => atMs >= fromMs).length;
  let offered = 0;
  let answered = 0;
  const offer = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 10) {
      for (let n = 0; n < perSecond / 100; n++) {
        offered++;
        edge.say({}).then(
          () => answered++,
          () => undefined,
        );
      }
      await clock.advance(10);
    }
  };
  // The first ten seconds, in which budgets spend what they may have saved up.
  await offer(10_000);
  const fromMs = clock.now();
  offered = 0;
  await offer(3_000);
  assert.equal(answered, 0);
  const amplification = arrived(backends, fromMs) / offered;
  t.diagnostic(`amplification ${amplification} at ${perSecond} calls a second`);
  // 27 where every layer makes three attempts, 1.728 where each spends a budget of its own.
  assert.ok(amplification >= 0.99 && amplification <= 1.25, `${amplification}`);
  for (const hosts of [middle, front]) {
    const above = arrived(hosts, fromMs) / offered;
    assert.ok(
      above <= 1.01,
      `${above} times as many calls as were offered came to a layer that is not next to the fault`,
    );
  }
});
