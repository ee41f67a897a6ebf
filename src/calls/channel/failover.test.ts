import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  Health,
  type HealthCheckResponse_ServingStatus as Status,
} from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { createClient, implement, RpcServer } from "../rpc/index.ts";
import { Channel } from "./channel.ts";
import { discover } from "./discover.ts";

const record = "_grpc._tcp.orders.example";

/** A server at 10.0.0.<id>:80 that answers with its number, to calls and to plain requests. */
async function serve(platform: VirtualPlatform, id: number): Promise<RpcServer> {
  const server = new RpcServer({
    services: [implement(Health, { check: () => ({ status: id as Status }) })],
    platform,
    http: [
      exchange => {
        if (!exchange.path.value.startsWith("/plain")) return false;
        exchange.respond(200, [], String(id));
        return true;
      },
    ],
  });
  await server.listen({ host: `10.0.0.${id}`, port: 80 });
  return server;
}

/** Service records: servers 1 and 2 first, then 3. */
function world(t: TestContext) {
  const platform = virtualPlatform();
  const { dnsServer } = platform.network;
  for (const id of [1, 2, 3]) dnsServer.set(`s${id}.example`, [`10.0.0.${id}`]);
  dnsServer.services.set(
    record,
    [10, 10, 20].map((priority, index) => ({ name: `s${index + 1}.example`, port: 80, priority, weight: 1 })),
  );
  const channel = new Channel(`dns+srv:///${record}`, { platform });
  const client = createClient(Health, channel);
  t.after(() => channel.close());
  /** Which servers answer, one call every 10 ms. @throws what a call throws */
  const answering = async (ms: number): Promise<number[]> => {
    const calls: Promise<{ status: number }>[] = [];
    for (let passed = 0; passed < ms; passed += 10) {
      calls.push(client.check({}));
      await platform.clock.advance(10);
    }
    await platform.clock.advance(2_000);
    return (await Promise.all(calls)).map(({ status }) => status);
  };
  const kill = (id: number, server: RpcServer) => {
    for (const { client: end } of platform.network.connections) if (end.remoteAddress === `10.0.0.${id}`) end.cut();
    void server.close();
  };
  return { platform, channel, client, answering, kill };
}

test("a second site takes calls only while the first one is down, and no call that may be repeated fails", async t => {
  const { platform, channel, answering, kill } = world(t);
  const [one, two] = [await serve(platform, 1), await serve(platform, 2)];
  await serve(platform, 3);
  assert.deepEqual(new Set(await answering(500)), new Set([1, 2]));
  kill(1, one);
  assert.deepEqual(new Set((await answering(500)).slice(10)), new Set([2]));
  kill(2, two);
  assert.deepEqual(new Set((await answering(2_000)).slice(20)), new Set([3]));
  const states = () => Object.fromEntries(channel.endpoints().map(({ address, state }) => [address, state]));
  assert.equal(states()["10.0.0.3"], "ready");
  await serve(platform, 1);
  const healed = await answering(10_000);
  const back = healed.indexOf(1);
  assert(back >= 0 && back < 700, `the first site takes calls again after ${back * 10} ms`);
  assert.deepEqual(new Set(healed.slice(back)), new Set([1]));
  assert.equal(states()["10.0.0.3"], "standby");
  assert.deepEqual(
    channel.endpoints().map(({ priority }) => priority),
    [10, 10, 20],
  );
});

test("a static target has a second group behind a semicolon, also for plain HTTP", async t => {
  const platform = virtualPlatform();
  const first = await serve(platform, 1);
  await serve(platform, 2);
  const service = discover("static:///10.0.0.1:80;10.0.0.2:80", { platform });
  t.after(() => service.close());
  const ask = async () => {
    const answer = service.fetch("/plain").then(response => response.text());
    await platform.clock.advance(1_500);
    return answer;
  };
  for (let count = 0; count < 10; count++) assert.equal(await ask(), "1");
  void first.close();
  await platform.clock.advance(100);
  for (let count = 0; count < 10; count++) assert.equal(await ask(), "2");
  await serve(platform, 1);
  const answers: string[] = [];
  for (let count = 0; count < 10; count++) answers.push(await ask());
  assert.match(answers.join(""), /^2{0,6}1{4,}$/);
});
