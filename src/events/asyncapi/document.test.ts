import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  file_inventory_inventory,
  InventoryUpdatedSchema,
} from "../../../examples/shop/src/gen/inventory/inventory_pb.ts";
import {
  file_order_events,
  OrderCancelledSchema,
  OrderConfirmedSchema,
  OrderCreatedSchema,
  OrderRejectedSchema,
} from "../../../examples/shop/src/gen/order/events_pb.ts";
import { OrderItemSchema } from "../../../examples/shop/src/gen/order/order_pb.ts";
import { assertSound, judgeOf, resolved } from "../../../test/asyncapi/referee.ts";
import { Dice } from "../../contract/codec/differential/index.ts";
import { randomMessage } from "../../contract/codec/differential/random-message.ts";
import { randomSchema } from "../../contract/codec/differential/random-schema.ts";
import { compileEvent } from "../../contract/index.ts";
import { randomRuledMessage, randomRuledValue } from "../../contract/rules/random-rules.fixture.ts";
import { byProtovalidate } from "../../contract/validation.ts";
import { RpcError } from "../../errors/index.ts";
import { virtualPlatform } from "../../platform/virtual/index.ts";
import { headersOf, pairsOf } from "../attributes.ts";
import type { BrokerDescription } from "../broker.ts";
import { connectBroker } from "../connect.ts";
import { on } from "../handler.ts";
import { onRequest } from "../requests/index.ts";
import { errorHeaders } from "../requests/reply-error.ts";
import type { AsyncApiDocument } from "./asyncapi.ts";
import { checkedAsyncApi } from "./checked-options.ts";
import { asEvent, simpleEvent } from "./contracts.fixture.ts";
import { asyncapiDocument } from "./document.ts";
import type { AsyncApiOptions } from "./options.ts";

/** A broker's description as it would be with these groups. */
function broker(
  name: string,
  groups: Readonly<Record<string, readonly DescMessage[]>>,
  more: Partial<BrokerDescription> = {},
): NonNullable<AsyncApiOptions["broker"]> {
  const subscriptions = Object.entries(groups).map(
    ([group, events]) =>
      ({
        group,
        events: events.map(compileEvent),
        requests: [],
        order: "key",
        onFailure: "park-key",
        queue: name === "rabbitmq" ? `${group}_queue` : undefined,
      }) as const,
  );
  const description = {
    name,
    source: "/order-service",
    contentType: "application/json",
    subscriptions,
    ...more,
  } as const;
  return { describe: () => description };
}

async function documentOf(options: AsyncApiOptions): Promise<AsyncApiDocument> {
  const document = await asyncapiDocument(checkedAsyncApi(options));
  assertSound(document);
  return document;
}

const published = [OrderCreatedSchema, OrderConfirmedSchema, OrderRejectedSchema, OrderCancelledSchema];

describe("the document of a service", () => {
  test("has a channel for each topic, a message for each event, and what is sent and received", async () => {
    const { channels, operations, components, info } = await documentOf({
      publishes: published,
      broker: broker("kafka", { "order-inventory": [InventoryUpdatedSchema] }),
    });
    assert.equal(info.title, "order-service");
    assert.deepEqual(Object.keys(channels), ["inventory", "orders"]);
    assert.deepEqual(Object.keys(channels["orders"]?.messages ?? {}), [
      "order.cancelled",
      "order.confirmed",
      "order.created",
      "order.rejected",
    ]);
    assert.deepEqual(Object.keys(operations), [
      "send.order.OrderCancelled",
      "send.order.OrderConfirmed",
      "send.order.OrderCreated",
      "send.order.OrderRejected",
      "receive.order-inventory.inventory",
    ]);
    const created = components.messages["order.OrderCreated"];
    assert.equal(created?.name, "order.created");
    assert.equal(created?.contentType, "application/json");
    assert.deepEqual(created?.payload, { $ref: "#/components/schemas/order.OrderCreated" });
    assert.match(created?.description ?? "", /Its key is `order_id`/);
    assert.equal(created?.examples?.length, 1);
  });

  test("shows what JSON Schema can say of the contract's rules, in the spelling of events", async () => {
    const { components } = await documentOf({ publishes: [OrderCreatedSchema] });
    assert.deepEqual(components.schemas["order.OrderItem"], {
      type: "object",
      properties: {
        product_id: { type: "string", minLength: 1, maxLength: 100 },
        quantity: { type: "integer", format: "int32", minimum: 1, maximum: 2 ** 31 - 1 },
        price: { type: "number", format: "double", minimum: 0, maximum: 1e9 },
      },
      required: ["product_id", "quantity"],
    });
  });

  test("allows members that the contract does not have: older readers survive newer writers", async () => {
    const document = await documentOf({ publishes: [OrderCancelledSchema] });
    const judge = judgeOf(document, { $ref: "#/components/schemas/order.OrderCancelled" });
    assert.equal(judge({ order_id: "1", colour: "red" }), undefined);
  });

  test("without a broker and servers says what the contract means for AMQP and for Kafka", async () => {
    const { channels, components, operations } = await documentOf({ publishes: [OrderCreatedSchema] });
    assert.deepEqual(channels["orders"]?.bindings, {
      amqp: {
        is: "routingKey",
        exchange: { name: "orders", type: "topic", durable: true, autoDelete: false },
        bindingVersion: "0.3.0",
      },
      kafka: { topic: "orders", bindingVersion: "0.5.0" },
    });
    assert.equal(components.messages["order.OrderCreated"]?.examples?.length, 2);
    assert.ok(operations["send.order.OrderCreated"]?.bindings?.["amqp"]);
  });

  test("says of RabbitMQ which queue a group reads, and spells headers as AMQP does", async () => {
    const { channels, operations, components } = await documentOf({
      broker: broker("rabbitmq", { billing: [OrderCreatedSchema] }),
    });
    assert.deepEqual(Object.keys(channels["orders"]?.bindings ?? {}), ["amqp"]);
    assert.match(operations["receive.billing.orders"]?.description ?? "", /reads the queue `billing_queue`/);
    const [example] = components.messages["order.OrderCreated"]?.examples ?? [];
    assert.equal(example?.headers?.["cloudEvents_type"], "order.created");
    assert.equal(example?.headers?.["content-type"], undefined, "which is a property of the message");
  });

  test("says of Kafka which group it is", async () => {
    const { operations } = await documentOf({ broker: broker("kafka", { billing: [OrderCreatedSchema] }) });
    assert.deepEqual(operations["receive.billing.orders"]?.bindings, {
      kafka: { groupId: { type: "string", enum: ["billing"] }, bindingVersion: "0.5.0" },
    });
  });

  test("says who publishes an event only where the service hears it from nobody else", async () => {
    const both = { "order-inventory": [OrderCreatedSchema] };
    const { components } = await documentOf({
      publishes: [OrderCreatedSchema, OrderCancelledSchema],
      broker: broker("kafka", both),
    });
    const sourceOf = (name: string) => components.messages[name]?.headers.properties?.["ce_source"];
    assert.deepEqual(sourceOf("order.OrderCancelled"), { const: "/order-service" });
    assert.equal(sourceOf("order.OrderCreated"), undefined);
    assert.ok(components.messages["order.OrderCancelled"]?.headers.required?.includes("ce_id"));
    assert.equal(
      components.messages["order.OrderCreated"]?.headers.required,
      undefined,
      "foreign producers write none",
    );
  });

  test("says so when bodies are binary", async () => {
    const { defaultContentType, components } = await documentOf({
      publishes: [OrderCreatedSchema],
      broker: broker("memory", {}, { contentType: "application/protobuf" }),
    });
    assert.equal(defaultContentType, "application/protobuf");
    assert.match(components.messages["order.OrderCreated"]?.description ?? "", /binary encoding/);
  });

  test("joins the subscriptions of one group on one topic", async () => {
    const first = broker("memory", { billing: [OrderCreatedSchema] }).describe();
    const second = broker("memory", { billing: [OrderCancelledSchema, InventoryUpdatedSchema] }).describe();
    const subscriptions = [...second.subscriptions, ...first.subscriptions];
    const { operations } = await documentOf({ broker: { describe: () => ({ ...first, subscriptions }) } });
    assert.deepEqual(Object.keys(operations), ["receive.billing.inventory", "receive.billing.orders"]);
    assert.equal(operations["receive.billing.orders"]?.summary, "Handles order.cancelled, order.created.");
  });

  test("of nothing is sound too", async () => {
    const { channels, operations, info } = await documentOf({});
    assert.deepEqual({ channels, operations }, { channels: {}, operations: {} });
    assert.equal(info.title, "Events");
  });
});

test("the same events make the same document, in whatever order they are named", async () => {
  const { all } = { all: [...published, InventoryUpdatedSchema, simpleEvent("", "A", { topic: "orders", type: "a" })] };
  const groups = { billing: [OrderCreatedSchema, OrderCancelledSchema], audit: published };
  const options = (events: readonly DescMessage[], isTurned: boolean): AsyncApiOptions => {
    const entries = Object.entries(groups).map(([group, own]) => [group, isTurned ? own.toReversed() : own] as const);
    return {
      publishes: events,
      broker: broker("kafka", Object.fromEntries(isTurned ? entries.toReversed() : entries)),
    };
  };
  const expected = JSON.stringify(await documentOf(options(all, false)));
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.boolean(),
      fc.shuffledSubarray(all),
      async (shuffled, isTurned, again) => {
        const document = await asyncapiDocument(checkedAsyncApi(options([...shuffled, ...again], isTurned)));
        assert.equal(JSON.stringify(document), expected);
      },
    ),
    { numRuns: 30 },
  );
});

test("names that mean something to JavaScript, JSON or others are names like any other", async () => {
  const hostile = ["__proto__", "constructor", "toString", "hasOwnProperty", "EventHeaders", "prototype"];
  const topics = ["__proto__", "constructor", "a.b", "a", "0", "..."];
  const events = hostile.flatMap(name =>
    topics.map(topic =>
      simpleEvent(topic === "a" ? "" : `p${topics.indexOf(topic)}`, name, { topic, type: name, key: "id" }, hostile),
    ),
  );
  const document = await documentOf({
    publishes: events,
    broker: broker("kafka", { "b.c": events, b: [simpleEvent("z", "Z", { topic: "c.a", type: "z" })], __proto__: [] }),
    title: '</script>"\u2028',
  });
  assert.equal(Object.keys(document.components.messages).length, events.length + 1);
  assert.deepEqual(Object.keys(document.channels).sort(), [...topics, "c.a"].sort());
  assert.equal(Object.keys(document.operations).filter(id => id.startsWith("receive.b.c.a")).length, 3);
  const properties = document.components.schemas["p0.constructor"]?.properties ?? {};
  assert.ok(Object.hasOwn(properties, "__proto__"));
  // The headers' schema and the message of that name are two.
  assert.ok(document.components.schemas["EventHeaders.2"]);
  assert.deepEqual(JSON.parse(JSON.stringify(document)), document);
});

test("two messages of one type on one topic, and a type that is called like the second, all have names of their own", async () => {
  const rule = { topic: "t", type: "x" };
  const { channels } = await documentOf({
    publishes: [
      simpleEvent("v1", "X", rule),
      simpleEvent("v2", "X", { ...rule, version: 2 }),
      simpleEvent("", "Y", { topic: "t", type: "x.2" }),
    ],
  });
  assert.deepEqual(Object.entries(channels["t"]?.messages ?? {}), [
    ["x", { $ref: "#/components/messages/v1.X" }],
    ["x.2", { $ref: "#/components/messages/v2.X" }],
    ["x.2.2", { $ref: "#/components/messages/Y" }],
  ]);
});

/** An Any of a random type cannot be written as JSON. */
function withoutAny(value: object): object {
  for (const [name, inner] of Object.entries(value)) {
    if (/Any$/.test(name)) delete (value as Record<string, unknown>)[name];
    else if (typeof inner === "object" && inner !== null && !ArrayBuffer.isView(inner)) withoutAny(inner);
  }
  return value;
}

test("documents of random contracts are sound, and take the events that consumers take", async () => {
  let [accepted, refused] = [0, 0];
  for (let seed = 1; seed <= 6; seed++) {
    const dice = new Dice(seed);
    const ruled = asEvent(randomRuledMessage(dice), { topic: `topic${seed}`, type: "ruled" });
    const plain = asEvent(randomSchema(dice).root, { topic: `topic${seed}`, type: "plain" });
    const document = await documentOf({ publishes: [ruled, plain], broker: broker("kafka", { g: [plain] }) });
    for (const [desc, random] of [
      [ruled, () => withoutAny(randomRuledValue(dice, ruled))],
      [plain, () => randomMessage(dice, plain)],
    ] as const) {
      const { json } = compileEvent(desc);
      const payload = Object.values(document.components.messages).find(({ title }) => title === desc.name)?.payload;
      assert.ok(payload);
      const judge = judgeOf(document, payload);
      const rules = await byProtovalidate(desc);
      for (let round = 0; round < 10; round++) {
        let text: string;
        try {
          text = json.encode(random());
        } catch {
          continue; // an Any of a type that does not exist
        }
        const isValid = rules(json.decode(text)).length === 0;
        const problem = judge(JSON.parse(text));
        if (isValid) assert.equal(problem, undefined, `seed ${seed}: ${text}`);
        if (problem === undefined) accepted++;
        else refused++;
      }
    }
  }
  assert.ok(accepted > 25 && refused > 25, `${accepted} accepted, ${refused} refused`);
});

test("the headers that publishers write are those of the document", async () => {
  const work = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "a=1", baggage: "b=2" };
  const record = {
    ...{
      topic: "orders",
      key: "7",
      id: "1",
      source: "/order-service",
      type: "order.created",
      timeMs: 0,
      body: new Uint8Array(),
    },
    ...{ contentType: "application/json", trace: work, priority: "critical" as const, expiresAtMs: 5, notBeforeMs: 4 },
    ...{ replyTo: undefined, correlationId: undefined, headers: {} },
  } as const;
  for (const [name, prefix] of [
    ["kafka", "ce_"],
    ["rabbitmq", "cloudEvents_"],
  ] as const) {
    const document = await documentOf({ publishes: [OrderCreatedSchema], broker: broker(name, {}) });
    const { headers } = document.components.messages["order.OrderCreated"] ?? {};
    assert.ok(headers);
    // AMQP has a property for the content type.
    const written = [...pairsOf(headersOf(record, prefix))].filter(
      ([one]) => name === "kafka" || one !== "content-type",
    );
    assert.equal(judgeOf(document, headers)(Object.fromEntries(written)), undefined);
    const common = resolved(document, headers.allOf?.[0]?.$ref ?? "") as { readonly properties: object };
    assert.deepEqual(written.map(([one]) => one).sort(), Object.keys(common.properties).sort(), name);
    assert.match(judgeOf(document, headers)({}) ?? "", /must have required property/);
  }
});

test("subscriptions are those that there are at the moment", async () => {
  const platform = virtualPlatform();
  const connected = await connectBroker("memory:", { source: "/billing", platform });
  const options = checkedAsyncApi({ broker: connected });
  const operations = async () => Object.keys((await asyncapiDocument(options)).operations);
  assert.deepEqual(await operations(), []);
  const subscription = await connected.subscribe(
    { group: "billing" },
    on(OrderCreatedSchema, () => {}),
  );
  assert.deepEqual(await operations(), ["receive.billing.orders"]);
  const drained = subscription.drain();
  await platform.clock.advance(1_000);
  await drained;
  assert.deepEqual(await operations(), []);
  const closed = connected.close();
  await platform.clock.advance(1_000);
  await closed;
});

describe("a request", () => {
  const quote = simpleEvent("price", "Quote", { topic: "quotes", type: "quote.wanted", key: "id" });
  const asked = simpleEvent("price", "Rate", { topic: "replies", type: "rate.wanted" });

  test("is an operation of its own, with its reply, the error that may come instead, and where they go", async () => {
    const platform = virtualPlatform();
    const connected = await connectBroker("memory:", { source: "/prices", platform });
    await connected.subscribe(
      { group: "prices" },
      onRequest(quote, OrderItemSchema, () => ({ price: 1 })),
      on(OrderCreatedSchema, () => {}),
    );
    const document = await documentOf({ broker: connected, requests: [{ request: asked, reply: OrderItemSchema }] });
    const { operations, channels, components } = document;
    assert.deepEqual(Object.keys(operations), [
      "send.price.Rate",
      "receive.prices.orders",
      "receive.prices.price.Quote",
    ]);
    // A topic has the name already.
    assert.deepEqual(Object.keys(channels), ["orders", "quotes", "replies", "replies.2"]);
    assert.equal(channels["replies.2"]?.address, null);
    for (const id of ["send.price.Rate", "receive.prices.price.Quote"]) {
      assert.deepEqual(
        operations[id]?.reply,
        {
          address: {
            location: "$message.header#/trunkline-reply-to",
            description: "A reply without an address is not sent.",
          },
          channel: { $ref: "#/channels/replies.2" },
          messages: [
            { $ref: "#/channels/replies.2/messages/order.OrderItem" },
            { $ref: "#/channels/replies.2/messages/request-error" },
          ],
        },
        id,
      );
    }
    assert.equal(operations["receive.prices.orders"]?.reply, undefined);
    const correlation = "$message.header#/trunkline-correlation-id";
    for (const name of ["price.Quote", "price.Rate", "order.OrderItem.reply", "request-error.reply"]) {
      assert.equal(components.messages[name]?.correlationId.location, correlation, name);
    }
    assert.equal(components.messages["order.OrderCreated"]?.correlationId.location, "$message.header#/traceparent");
    assert.equal(components.messages["request-error.reply"]?.payload, undefined);
    const closed = connected.close();
    await platform.clock.advance(1_000);
    await closed;
  });

  test("and its replies have the headers that are written", async () => {
    const document = await documentOf({
      requests: [{ request: asked, reply: OrderItemSchema }],
      broker: broker("kafka", {}),
    });
    const { headers } = document.components.messages["request-error.reply"] ?? {};
    assert.ok(headers);
    const error = new RpcError("not_found", "no rate", {
      retryAfterMs: 5,
      details: [{ type: "a.B", value: new Uint8Array(2) }],
    });
    const written = { "trunkline-correlation-id": "7", ce_type: "google.rpc.Status", ...errorHeaders(error) };
    assert.equal(judgeOf(document, headers)(written), undefined);
    for (const name of Object.keys(written)) assert.ok(Object.hasOwn(headers.properties ?? {}, name), name);
    assert.notEqual(judgeOf(document, headers)({ "trunkline-correlation-id": "7" }), undefined, "an error has a code");
  });
});

describe("what cannot be documented is refused at once", () => {
  const plain = file_order_events.messages.find(({ name }) => name === "OrderCreated") as DescMessage;
  const rows: readonly (readonly [what: string, options: object, RegExp])[] = [
    ["a message that is no event", { publishes: [file_inventory_inventory.messages[0]] }, /it is no event/],
    ["one event instead of a list", { publishes: plain }, /publishes must be a list/],
    ["a URL instead of a broker", { broker: "memory:" }, /broker must be what connectBroker resolves with/],
    ["a request without its reply", { requests: [{ request: plain }] }, /requests must be a list such as/],
    ["a title that is no text", { title: 7 }, /title is a number/],
  ];
  for (const [what, options, message] of rows) {
    test(what, () => {
      assert.throws(() => checkedAsyncApi(options as AsyncApiOptions), message);
    });
  }
});
