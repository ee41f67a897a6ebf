import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { silentObserver } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { AmqpError } from "./amqp.ts";
import { Declarations } from "./declarations.ts";
import { endpoint, FakeAmqp, FakeChannel } from "./fake-amqp.fixture.ts";
import { Ladder } from "./ladder.ts";
import { SupervisedConnection } from "./supervised-connection.ts";

const missing = new AmqpError("NOT_FOUND - no exchange 'orders' in vhost '/'", 404);

async function declaring(t: TestContext) {
  const platform = virtualPlatform();
  const client = new FakeAmqp();
  const publishing = new SupervisedConnection({
    name: "publisher",
    client,
    endpoints: [endpoint("a")],
    platform,
    observer: silentObserver,
  });
  await publishing.start();
  const declarations = new Declarations({
    publishing,
    ladder: new Ladder("trunkline"),
    mayCreateTopics: true,
    observer: silentObserver,
    openAside: () => client.open(endpoint("a")),
  });
  const declared: string[] = [];
  t.mock.method(FakeChannel.prototype, "findExchange", () => Promise.reject(missing));
  const onDeclare = t.mock.method(FakeChannel.prototype, "declareExchange", async (exchange: string) => {
    declared.push(exchange);
  });
  return { platform, client, declarations, declared, onDeclare };
}

describe("declarations", () => {
  it("a connection that is cut under a declaration does not refuse the first publish of a topic", async t => {
    const { platform, client, declarations, declared, onDeclare } = await declaring(t);
    const cut = new AmqpError("read ECONNRESET", undefined);
    onDeclare.mock.mockImplementationOnce(() => {
      client.live[0]?.cut(cut);
      return Promise.reject(cut);
    });
    const prepared = declarations.prepare(["orders"]);
    await platform.clock.settle();
    await prepared;
    assert.deepEqual(declared, ["orders"]);
    assert.equal(client.connections.length, 2);
  });

  it("a refusal is final: it is not asked for again", async t => {
    const { client, declarations, onDeclare } = await declaring(t);
    onDeclare.mock.mockImplementation(() => Promise.reject(new AmqpError("ACCESS_REFUSED", 403)));
    await assert.rejects(declarations.prepare(["orders"]), /"orders": ACCESS_REFUSED; the user needs permissions/);
    assert.equal(onDeclare.mock.callCount(), 1);
    assert.equal(client.connections.length, 1);
  });

  it("a connection that is cut again and again is waited for within the limit, and not without end", async t => {
    const { platform, client, declarations, onDeclare } = await declaring(t);
    const cut = new AmqpError("read ECONNRESET", undefined);
    onDeclare.mock.mockImplementation(() => {
      client.live[0]?.cut(cut);
      return Promise.reject(cut);
    });
    const outcome = declarations.prepare(["orders"]).catch((error: unknown) => error);
    await platform.clock.advance(20_000);
    assert.match(String(await outcome), /BrokerError: .*(no connection within|read ECONNRESET)/);
    assert(onDeclare.mock.callCount() < 20, "with the pauses of a connection that does not hold");
  });
});
