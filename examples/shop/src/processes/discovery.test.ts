import assert from "node:assert/strict";
import { test } from "node:test";
import { createChannel } from "trunkline";
import { customerTarget, type DiscoveryEnvironment, parseDiscovery } from "./discovery.ts";

const rows: readonly (readonly [environment: DiscoveryEnvironment, target: string])[] = [
  [{}, "static:///127.0.0.1:50152"],
  [{ DISCOVERY: "" }, "static:///127.0.0.1:50152"],
  [{ CUSTOMER_INSTANCES: "file:///shop/list.json" }, "file:///shop/list.json"],
  [{ CUSTOMER_ADDRESS: "a:1,b:2", CUSTOMER_INSTANCES: "file:///shop/list.json" }, "static:///a:1,b:2"],
  [{ DISCOVERY: "dns", CUSTOMER_INSTANCES: "file:///shop/list.json" }, "dns:///localhost:50152"],
  [{ DISCOVERY: "dns", CUSTOMER_ADDRESS: "customers.example:80" }, "dns:///customers.example:80"],
  [{ DISCOVERY: "k8s" }, "k8s:///customer-service:grpc"],
  [{ DISCOVERY: "k8s", POD_NAMESPACE: "shop" }, "k8s:///customer-service.shop:grpc"],
  [{ DISCOVERY: "k8s", CUSTOMER_ADDRESS: "people.crm:http" }, "k8s:///people.crm:http"],
];

for (const [environment, target] of rows) {
  test(`${JSON.stringify(environment)} is ${target}, which channels take`, () => {
    assert.equal(customerTarget(environment, 100), target);
    createChannel(target).close();
  });
}

test("another way of discovery is an error that names those that there are", () => {
  assert.throws(() => parseDiscovery("consul"), /^TypeError: DISCOVERY "consul" is not one of static, dns, k8s$/);
  assert.throws(() => customerTarget({ DISCOVERY: "Static" }, 0), /DISCOVERY "Static"/);
});
