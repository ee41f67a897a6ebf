import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { createClient } from "trunkline";
import { OrderService } from "./gen/order/order_pb.ts";

const start = join(import.meta.dirname, "start.ts");
const offset = 3_700;
const orderPort = 50_051 + offset;

/** Starts the supervisor; `until` resolves with the first line of its output that holds the text. */
function startShop(...options: string[]) {
  const child = spawn(process.execPath, ["--conditions=trunkline-source", start, ...options], {
    env: { ...process.env, PORT_OFFSET: String(offset), HOST: "127.0.0.1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close") as Promise<[number | null, string | null]>;
  let errors = "";
  child.stderr.on("data", chunk => {
    errors += chunk;
  });
  const until = async (text: string) => {
    for await (const line of createInterface({ input: child.stdout })) if (line.includes(text)) return line;
    throw new Error(`the shop ended without "${text}": ${errors}`);
  };
  return { child, closed, until, errors: () => errors };
}

test("npm start serves both services, names a taken port, and ends with 0 on a doubled Ctrl-C", async t => {
  const shop = startShop("--fresh");
  t.after(() => shop.child.kill("SIGKILL"));
  assert.equal(await shop.until("shop is ready"), `shop is ready: http://127.0.0.1:${orderPort}`);
  shop.child.stdout.resume();

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

  const second = startShop();
  assert.deepEqual(await second.closed, [1, null]);
  assert.match(second.errors(), new RegExp(`port ${orderPort} of order-service .* is taken; PORT_OFFSET`));

  shop.child.kill("SIGINT");
  shop.child.kill("SIGINT");
  assert.deepEqual(await shop.closed, [0, null]);
});
