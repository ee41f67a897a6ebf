import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "trunkline";
import { OrderService } from "./gen/order/order_pb.ts";
import { runShop } from "./running-shop.ts";
import { stateFolder } from "./state.ts";

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

test("what cannot be started is a usage error that names the option", async () => {
  for (const [parameters, environment, expected] of [
    [["--only", "shoe"], {}, /--only: "shoe-service" is not one of order-service, customer-service/],
    [["--nonsense"], {}, /--nonsense[\s\S]*--fresh/],
    [[], { PORT_OFFSET: "x" }, /PORT_OFFSET "x" must be an integer/],
    [[], { PORT_OFFSET: "60000" }, /PORT_OFFSET "60000" must be/],
  ] as const) {
    const shop = runShop("start.ts", offset, parameters, environment);
    assert.deepEqual(await shop.closed, [2, null]);
    assert.match(shop.errors(), expected);
  }
});
