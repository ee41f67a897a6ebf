import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Admin } from "@platformatic/kafka";
import { ledger } from "../../src/events/conformance/ledger.ts";
import { type BrokerOptions, connectBroker, onRequest } from "../../src/events/index.ts";
import { sharedKafka, skipWithout, uniqueName } from "../servers/index.ts";

describe("requests over Kafka", { skip: skipWithout("kafka") }, () => {
  let server: Awaited<ReturnType<typeof sharedKafka>>;
  let admin: Admin;
  before(async () => {
    server = await sharedKafka();
    admin = new Admin({ clientId: "requests", bootstrapBrokers: [server.url.replace("kafka://", "")] });
  });
  after(async () => {
    await admin.close();
    await server[Symbol.asyncDispose]();
  });

  const connect = (options: BrokerOptions = {}) => connectBroker(server.url, options);

  it("come back by a topic of their connection's own, which keeps little and goes with it", async () => {
    const { BalanceSchema, PlacedSchema, topic } = ledger(uniqueName("accounts"));
    await using bank = await connect({ createTopics: true });
    const addresses: string[] = [];
    await bank.subscribe(
      { group: topic },
      onRequest(PlacedSchema, BalanceSchema, ({ number }, { raw }) => {
        addresses.push(raw.attributes.replyTo ?? "");
        return { total: number * 2 };
      }),
    );
    // Topics of the contract are there; the one for replies is made although topics may not be.
    const client = await connect({ createTopics: false });
    const totals: number[] = [];
    for (const number of [1, 2]) {
      totals.push((await client.request(PlacedSchema, BalanceSchema, { account: "a", number })).total);
    }
    assert.deepEqual(totals, [2, 4]);
    const [address = ""] = addresses;
    assert.match(address, /^trunkline\.replies\.[0-9a-f]{32}$/);
    assert.deepEqual(addresses, [address, address]);
    const [described] = await admin.describeConfigs({
      resources: [{ resourceType: 2, resourceName: address, configurationKeys: ["retention.ms", "segment.ms"] }],
    });
    assert.deepEqual(described?.configs.map(({ name, value }) => [name, value]).toSorted(), [
      ["retention.ms", "3600000"],
      ["segment.ms", "600000"],
    ]);
    await client.close();
    const left = await admin.listTopics({ includeInternals: false });
    assert.ok(!left.includes(address), "the topic is deleted");
  });
});
