/**
 * AsyncAPI's own parser against our documents: `run.ts [--seed n] [--contracts n]`. It parses those of the shop's services and of
 * random contracts, each for several brokers, resolves their references and judges them by its rules and by the schemas of bindings;
 * an error of it is a failure. What it only recommends is printed.
 */
import { parseArgs } from "node:util";
import { type Diagnostic, Parser } from "@asyncapi/parser";
import type { DescMessage } from "@bufbuild/protobuf";
import { InventoryUpdatedSchema } from "../../examples/shop/src/gen/inventory/inventory_pb.ts";
import { OrderCancelledSchema, OrderCreatedSchema } from "../../examples/shop/src/gen/order/events_pb.ts";
import { OrderItemSchema } from "../../examples/shop/src/gen/order/order_pb.ts";
import { published } from "../../examples/shop/src/orders/order-events.ts";
import { Dice } from "../../src/contract/codec/differential/index.ts";
import { randomSchema } from "../../src/contract/codec/differential/random-schema.ts";
import { compileEvent } from "../../src/contract/index.ts";
import { randomRuledMessage } from "../../src/contract/rules/random-rules.fixture.ts";
import { asEvent, simpleEvent } from "../../src/events/asyncapi/contracts.fixture.ts";
import { asyncapiDocument } from "../../src/events/asyncapi/document.ts";
import { type AsyncApiOptions, checkedAsyncApi } from "../../src/events/asyncapi/index.ts";
import type { BrokerDescription } from "../../src/events/index.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    contracts: { type: "string", default: "50" },
  },
});

type Groups = Readonly<Record<string, readonly DescMessage[]>>;

function described(name: string, source: string, groups: Groups): BrokerDescription {
  const subscriptions = Object.entries(groups).map(([group, events]) => {
    const queue = name === "rabbitmq" ? group : undefined;
    return {
      group,
      queue,
      events: events.map(compileEvent),
      requests: [],
      order: "key",
      onFailure: "park-key",
    } as const;
  });
  return { name, source, contentType: "application/json", subscriptions };
}

/** Brokers with the servers that a service on them would name. */
const brokers = {
  kafka: { production: "kafka://user:secret@k1,k2:9093?tls=true&sasl=scram-sha-256" },
  rabbitmq: { production: "amqps://user:secret@r1,[2001:db8::1]:5671/shop" },
  sqlite: { events: "sqlite:./events.db" },
} as const;

const parser = new Parser();
const recommendations = new Map<string, number>();
let passed = 0;
let failed = 0;

async function judge(name: string, options: AsyncApiOptions): Promise<void> {
  const document = await asyncapiDocument(checkedAsyncApi(options));
  const { document: parsed, diagnostics } = await parser.parse(JSON.stringify(document));
  const errors = diagnostics.filter(({ severity }: Diagnostic) => severity === 0);
  for (const { code, severity } of diagnostics) {
    if (severity !== 0) recommendations.set(String(code), (recommendations.get(String(code)) ?? 0) + 1);
  }
  const operations = parsed?.operations().all().length ?? 0;
  const messages = parsed?.messages().all().length ?? 0;
  const isWhole =
    operations === Object.keys(document.operations).length &&
    messages === Object.keys(document.components.messages).length;
  if (errors.length === 0 && isWhole) {
    passed++;
    return;
  }
  failed++;
  process.stdout.write(`${name}: ${operations} operations, ${messages} messages\n`);
  for (const { message, path } of errors.slice(0, 10)) process.stdout.write(`  ${path.join("/")}: ${message}\n`);
}

/**
 * The parser copies documents by assignment: a member called `__proto__` becomes the prototype of what holds it. A contract can have
 * such a field, and RFC 8259 such a member; our own tests judge those by the official schema.
 */
function hasProto({ messages }: { readonly messages: readonly DescMessage[] }): boolean {
  return messages.some(({ fields, nestedMessages }) => {
    return fields.some(({ name }) => name === "__proto__") || hasProto({ messages: nestedMessages });
  });
}

async function judgeOnBrokers(name: string, publishes: readonly DescMessage[], groups: Groups): Promise<void> {
  await judge(name, { publishes });
  for (const [broker, servers] of Object.entries(brokers)) {
    const description = described(broker, `/${name}`, groups);
    const requests = publishes.slice(0, 1).map(request => ({ request, reply: OrderItemSchema }));
    await judge(`${name} on ${broker}`, { publishes, requests, servers, broker: { describe: () => description } });
  }
}

await judgeOnBrokers("order-service", published, { "order-inventory": [InventoryUpdatedSchema] });
await judgeOnBrokers("inventory-service", [InventoryUpdatedSchema], {
  "order-processor": [OrderCreatedSchema, OrderCancelledSchema],
});
await judgeOnBrokers("notification-service", [], { notification: published });
await judgeOnBrokers("nothing", [], {});

const first = Number(values.seed);
process.stdout.write(`seed ${first}\n`);
for (let seed = first; seed < first + Number(values.contracts); seed++) {
  const dice = new Dice(seed);
  const topic = dice.pick(["orders", "a.b", "0", "toString", "constructor", "..."]);
  const { root } = randomSchema(dice);
  if (hasProto(root.file)) continue;
  const plain = asEvent(root, { topic, type: "plain" });
  const ruled = asEvent(randomRuledMessage(dice), { topic: "ruled", type: "ruled.one", version: 2 });
  const hostile = simpleEvent("", dice.pick(["valueOf", "constructor", "EventHeaders"]), {
    topic,
    type: "x",
    key: "id",
  });
  await judgeOnBrokers(`contract ${seed}`, [plain, ruled], { "a.b": [hostile, plain], a: [hostile] });
}

for (const [code, count] of [...recommendations].sort()) process.stdout.write(`recommended ${count} times: ${code}\n`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
