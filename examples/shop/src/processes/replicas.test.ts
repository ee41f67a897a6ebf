import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReplicas } from "./replicas.ts";
import { portOf, type ServiceName, services } from "./services.ts";

const all = services.map(({ name }) => name);
const parse = (text?: string, only: readonly ServiceName[] = all, offset = 0) => [...parseReplicas(text, only, offset)];

test("services that are not named have one instance", () => {
  const others = ["inventory-service", "notification-service", "analytics-service"].map(name => [name, 1]);
  assert.deepEqual(parse(), [["order-service", 1], ["customer-service", 1], ...others]);
  for (const text of ["customer=3", "customer-service=3", "order=1,customer=3", " customer=3"]) {
    assert.deepEqual(parse(text), [["order-service", 1], ["customer-service", 3], ...others]);
  }
  assert.deepEqual(parse("customer=9", ["customer-service"]), [["customer-service", 9]]);
});

for (const [text, expected] of [
  ["", /--replicas: "" is not service=number/],
  ["customer", /--replicas: "customer" is not service=number/],
  ["customer=3=4", /--replicas: "customer=3=4" is not/],
  ["customer=3,", /--replicas: "" is not service=number/],
  ["shoe=2", /--replicas: "shoe-service" is not one of order-service, customer-service/],
  ["customer=0", /--replicas: expected a number from 1 to 9 for customer-service, got "0"/],
  ["customer=10", /from 1 to 9 .* got "10"/],
  ["customer=-1", /got "-1"/],
  ["customer=1.5", /got "1.5"/],
  ["customer=", /got ""/],
  ["customer=0x3", /got "0x3"/],
  ["customer=2,customer-service=3", /--replicas: customer-service is named twice/],
  ["order=2", /--replicas: expected 1, because it alone writes its database for order-service, got "2"/],
] as const) {
  test(`--replicas ${JSON.stringify(text)} is refused with the reason`, () => {
    assert.throws(() => parse(text), expected);
  });
}

test("a service that --only leaves out has no replicas, nor are there ports above 65535", () => {
  assert.throws(() => parse("customer=2", ["order-service"]), /customer-service is not started; --only leaves it out/);
  assert.throws(() => parse("customer=9", all, 15_480), /customer-service=9 would take port 65612/);
});

test("instances meet no other service, nor another shop whose offset is 100 away", () => {
  const ports = [0, 100, -100].flatMap(offset =>
    services.flatMap(({ name, instancesMax }) =>
      Array.from({ length: instancesMax }, (_, index) => portOf(name, offset, index + 1)),
    ),
  );
  assert.equal(new Set(ports).size, ports.length);
  // Of the gateway and the console.
  for (const port of [8_080, 8_090]) assert.equal(ports.includes(port), false, String(port));
});
