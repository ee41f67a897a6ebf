import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { after, before, test } from "node:test";
import { portOf } from "../processes/services.ts";
import { stateFolder } from "../processes/state.ts";
import { type RunningShop, runShop } from "./running-shop.ts";
import { shopSuite } from "./shop-suite.ts";

const offset = -26_280;
const crashOffset = -26_260;
const address = (name: "order-service" | "customer-service", at = offset) => `http://127.0.0.1:${portOf(name, at)}`;

let shop: RunningShop;
before(async () => {
  shop = runShop("start.ts", offset, ["--fresh"]);
  await shop.until("shop is ready");
});
after(async () => {
  shop.child.kill("SIGTERM");
  assert.deepEqual(await shop.closed, [0, null]);
});

shopSuite("shop", () => ({ orders: address("order-service"), customers: address("customer-service") }), fetch);

test("an order is stored once and answered alike when its service is killed in between; without customers it is degraded", async t => {
  rmSync(stateFolder(crashOffset), { recursive: true, force: true });
  const orders = address("order-service", crashOffset);
  const request = {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": "survives" },
    body: '{"customer_id":"customer-456","items":[{"product_id":"product-1","quantity":1,"price":2}]}',
  };
  const answers: string[] = [];
  for (let run = 0; run < 2; run++) {
    const service = runShop("serve.ts", crashOffset, ["order-service"]);
    t.after(() => service.child.kill("SIGKILL"));
    await service.until("is ready");
    const response = await fetch(`${orders}/api/orders`, request);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("idempotent-replayed"), run === 0 ? null : "true");
    answers.push(`${response.headers.get("location")} ${await response.text()}`);
    const degraded = await fetch(`${orders}/api/orders/123`);
    assert.deepEqual([degraded.status, degraded.headers.get("x-degraded")], [200, "customer"]);
    assert.equal("customer" in ((await degraded.json()) as object), false);
    const { orders: all } = (await (await fetch(`${orders}/api/orders`)).json()) as { orders: unknown[] };
    assert.equal(all.length, 3);
    service.child.kill("SIGKILL");
    await service.closed;
  }
  assert.equal(answers[0], answers[1]);
});
