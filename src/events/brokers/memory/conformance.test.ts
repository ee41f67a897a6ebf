import { brokerConformance } from "../../conformance/index.ts";
import { connectBroker } from "../../connect.ts";

let names = 0;

brokerConformance({
  name: "memory",
  connect: options => connectBroker("memory:conformance", options),
  uniqueName: hint => `${hint}-${++names}`,
  waitMs: 5_000,
});
