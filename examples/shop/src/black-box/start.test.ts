import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "trunkline";
import { OrderService } from "../gen/order/order_pb.ts";
import { portOf } from "../processes/services.ts";
import { stateFolder } from "../processes/state.ts";
import { runShop } from "./running-shop.ts";

const offset = -26_300;
const orderPort = 50_051 + offset;
const startShop = (...options: string[]) => runShop("start.ts", offset, options);

test("npm start serves both services, names a taken port, and ends with 0 on a doubled Ctrl-C", async t => {
  const shop = startShop("--fresh");
  t.after(() => shop.child.kill("SIGKILL"));
  assert.equal(await shop.until("shop is ready"), `shop is ready: http://127.0.0.1:${orderPort}`);

  for (const port of [orderPort, orderPort + 1]) {
    for (const path of ["/healthz", "/readyz"]) {
      assert.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 200);
    }
  }
  const ready = await fetch(`http://127.0.0.1:${orderPort}/readyz`);
  const { checks } = (await ready.json()) as { checks: Record<string, { status: string }> };
  assert.equal(checks["database"]?.status, "ready");
  const response = await fetch(`http://127.0.0.1:${orderPort}/order.OrderService/GetOrder`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"orderId":"123"}',
  });
  assert.equal(response.status, 200);
  const viaConnect = (await response.json()) as { customer: { id: string } };
  assert.equal(viaConnect.customer.id, "customer-456");
  const viaGrpc = await createClient(OrderService, `127.0.0.1:${orderPort}`).getOrder({ orderId: "123" });
  assert.equal(viaGrpc.customer?.id, "customer-456");

  const taken = new RegExp(`port ${orderPort} of order-service .* is taken; PORT_OFFSET`);
  for (const parameters of [[], ["--fresh"]]) {
    const second = startShop(...parameters);
    assert.deepEqual(await second.closed, [1, null]);
    assert.match(second.errors(), taken);
  }
  assert.ok(existsSync(join(stateFolder(offset), "orders.db")), "--fresh deletes nothing under a shop that runs");

  shop.child.kill("SIGINT");
  shop.child.kill("SIGINT");
  assert.deepEqual(await shop.closed, [0, null]);
});

/** The processes that a process has started. */
function childrenOf(parent = 0): readonly number[] {
  if (process.platform === "linux") {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim();
    return children === "" ? [] : children.split(" ").map(Number);
  }
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=", "-o", "ppid="], { encoding: "utf8" });
  const rows = stdout.split("\n").map(line => line.trim().split(/ +/).map(Number));
  return rows.flatMap(([pid, ppid]) => (ppid === parent && pid !== undefined ? [pid] : []));
}

test("--only starts what it names, a killed service comes back, and a late second Ctrl-C ends a stream's wait", async t => {
  const at = -26_240;
  rmSync(stateFolder(at), { recursive: true, force: true });
  const port = 50_051 + at;
  const shop = runShop("start.ts", at, ["--only", "order"]);
  t.after(() => shop.child.kill("SIGKILL"));
  assert.equal(await shop.until("shop is ready"), `shop is ready: http://127.0.0.1:${port}`);
  await assert.rejects(fetch(`http://127.0.0.1:${port + 1}/healthz`));

  const [service, ...others] = childrenOf(shop.child.pid);
  assert.ok(service !== undefined);
  assert.deepEqual(others, []);
  const back = shop.until("order-service is ready");
  process.kill(service, "SIGKILL");
  await back;
  assert.equal((await fetch(`http://127.0.0.1:${port}/orders/123`)).status, 200);

  const following = await fetch(`http://127.0.0.1:${port}/api/orders:stream?follow=true`);
  const cut = assert.rejects(following.text());
  const stopping = shop.until("stopping");
  shop.child.kill("SIGINT");
  await stopping;
  // The one wait in real time: the supervisor takes a second signal within a second for the same Ctrl-C.
  await delay(1_200);
  assert.equal(shop.child.exitCode, null, "the stream holds the drain up");
  shop.child.kill("SIGINT");
  assert.deepEqual(await shop.closed, [1, null]);
  await cut;
});

test("replicas take calls in turns, are listed while they run, and a killed one is another instance afterwards", async t => {
  const at = -26_200;
  const shop = runShop("start.ts", at, ["--fresh", "--replicas", "customer=3"]);
  t.after(() => shop.child.kill("SIGKILL"));
  await shop.until("shop is ready");
  const ports = [1, 2, 3].map(instance => portOf("customer-service", at, instance));
  const listed = () => {
    const text = readFileSync(join(stateFolder(at), "customer-service.instances.json"), "utf8");
    const { endpoints } = JSON.parse(text) as { endpoints: { port: number; metadata: { uid: string } }[] };
    return new Map(endpoints.map(({ port, metadata }) => [port, Number(metadata.uid)]));
  };
  const before = listed();
  assert.deepEqual([...before.keys()].sort(), ports);
  for (const port of ports) assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);

  const [, second = 0] = ports;
  const pid = before.get(second);
  assert.ok(pid !== undefined);
  const down = shop.untilError("[customer-service 2] ended with SIGKILL; starts again");
  const back = shop.until("[customer-service 2] customer-service is ready");
  process.kill(pid, "SIGKILL");
  await down;
  assert.deepEqual([...listed().keys()].sort(), [ports[0], ports[2]]);
  const answer = await fetch(`http://127.0.0.1:${portOf("order-service", at)}/orders/123`);
  assert.deepEqual([answer.status, answer.headers.get("x-degraded")], [200, null]);
  await back;
  // The supervisor hears of it beside the line that it passes on.
  while (!listed().has(second)) await fetch(`http://127.0.0.1:${second}/livez`);
  assert.notEqual(listed().get(second), pid);

  shop.child.kill("SIGTERM");
  assert.deepEqual(await shop.closed, [0, null]);
  assert.equal(listed().size, 0);
});

test("what cannot be started is a usage error that names the option", async () => {
  for (const [parameters, environment, expected] of [
    [["--only", "shoe"], {}, /--only: "shoe-service" is not one of order-service, customer-service/],
    [["--nonsense"], {}, /--nonsense[\s\S]*--fresh/],
    [["--replicas", "customer=0"], {}, /--replicas: expected a number from 1 to 9 for customer-service, got "0"/],
    [["--only", "order", "--replicas", "customer=2"], {}, /--replicas: customer-service is not started; --only/],
    [[], { DISCOVERY: "consul" }, /DISCOVERY "consul" is not one of static, dns, k8s[\s\S]*--help/],
    [[], { CUSTOMER_ADDRESS: "customers" }, /target "static:\/\/\/customers": "customers" is not host:port/],
    [[], { PORT_OFFSET: "x" }, /PORT_OFFSET "x" must be an integer/],
    [[], { PORT_OFFSET: "60000" }, /PORT_OFFSET "60000" must be/],
  ] as const) {
    const shop = runShop("start.ts", offset, parameters, environment);
    assert.deepEqual(await shop.closed, [2, null]);
    assert.match(shop.errors(), expected);
  }
});
