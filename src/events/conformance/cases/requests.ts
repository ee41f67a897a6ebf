import assert from "node:assert/strict";
import { isRpcError, RpcError } from "../../../errors/index.ts";
import type { Observer } from "../../../platform/index.ts";
import type { Broker, BrokerOptions, SubscribeOptions, Subscription } from "../../broker.ts";
import type { Delivery } from "../../handler.ts";
import { onRequest } from "../../requests/index.ts";
import type { BrokerCase } from "../case.ts";
import type { Placed } from "../ledger.ts";
import type { Journal, Scene } from "../scene.ts";

const lacksReplies: BrokerCase["lacks"] = ({ requests }) =>
  requests === true ? undefined : "it has no way back for replies";

/** Something that was observed. */
interface Seen {
  readonly type: string;
  readonly why?: string;
}

/** A connection whose observations a case can wait for. */
async function watched(
  scene: Scene,
  options: BrokerOptions = {},
): Promise<{ broker: Broker; observed: Journal<Seen> }> {
  const observed = scene.journal<Seen>();
  const observer: Observer = {
    emit(event) {
      if (/^events\.re(?:quest|pl)/.test(event.type)) observed.push(event);
    },
  };
  return { broker: await scene.connect({ observer, ...options }), observed };
}

/** A member that replies with the number, doubled. */
function serve(
  scene: Scene,
  broker: Broker,
  handle: (request: Placed, delivery: Delivery) => unknown = () => {},
  options: Partial<SubscribeOptions> = {},
): Promise<Subscription> {
  const { BalanceSchema, PlacedSchema } = scene.ledger;
  return broker.subscribe(
    { group: scene.group, ...scene.harness.shared, ...options },
    onRequest(PlacedSchema, BalanceSchema, async (request, delivery) => {
      await handle(request, delivery);
      return { account: request.account, total: request.number * 2 };
    }),
  );
}

function ask(
  scene: Scene,
  broker: Broker,
  number: number,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
) {
  const { BalanceSchema, PlacedSchema } = scene.ledger;
  return broker.request(
    PlacedSchema,
    BalanceSchema,
    { account: `account-${number % 50}`, number },
    { timeoutMs: scene.waitMs, ...options },
  );
}

/** A topic with a group that nobody is a member of any more: what is asked of it waits. */
async function abandoned(scene: Scene): Promise<void> {
  const broker = await scene.connect();
  await (await serve(scene, broker)).drain();
}

export const requestCases: readonly BrokerCase[] = [
  {
    name: "a request gets the reply of its handler, with its trace, its priority and its deadline",
    lacks: lacksReplies,
    async run(scene) {
      const deliveries = scene.journal<Delivery>();
      await serve(scene, await scene.connect(), (_request, delivery) => deliveries.push(delivery));
      const client = await scene.connect({ contentType: "application/protobuf" });
      const { account, total } = await ask(scene, client, 21, { timeoutMs: 15_000 });
      assert.deepEqual([account, total], ["account-21", 42]);
      const [delivery] = await deliveries.reaches(1);
      const { attributes } = delivery?.raw ?? {};
      assert.equal(attributes?.correlationId, delivery?.id);
      assert.notEqual(attributes?.replyTo, undefined);
      assert.ok((delivery?.timeLeftMs ?? Number.POSITIVE_INFINITY) <= 15_000);
    },
  },
  {
    name: "1,000 requests at once each get their own reply",
    lacks: lacksReplies,
    async run(scene) {
      await serve(scene, await scene.connect(), undefined, { concurrency: 64 });
      const client = await scene.connect();
      const asked = Array.from({ length: 1_000 }, (_, number) => ask(scene, client, number));
      const replies = await scene.within(Promise.all(asked), "1,000 replies");
      assert.deepEqual(
        replies.map(({ total }) => total),
        asked.map((_, number) => number * 2),
      );
    },
  },
  {
    name: "an error that a handler throws arrives with its code, message and details",
    lacks: lacksReplies,
    async run(scene) {
      const details = [{ type: "shop.Reason", value: Uint8Array.of(8, 1, 255) }];
      const server = await scene.connect();
      const subscription = await serve(scene, server, () => {
        throw new RpcError("failed_precondition", "the account is closed ✓", { details, cause: new Error("secret") });
      });
      const client = await scene.connect();
      await assert.rejects(ask(scene, client, 1), error => {
        assert.ok(isRpcError(error, "failed_precondition"), String(error));
        assert.equal(error.message, "the account is closed ✓");
        assert.equal(error.cause, undefined);
        const [detail] = error.details;
        assert.ok(detail !== undefined && "type" in detail);
        assert.deepEqual([detail.type, [...detail.value]], ["shop.Reason", [8, 1, 255]]);
        return true;
      });
      assert.equal(subscription.stats().failedAttempts, 0);
      assert.deepEqual(await scene.letters(server), []);
    },
  },
  {
    name: "what a handler throws is tried again within the deadline, and answered with internal at the end of it",
    lacks: lacksReplies,
    async run(scene) {
      let calls = 0;
      const { broker: server, observed } = await watched(scene);
      const retry = { immediate: 1, immediateDelayMs: 1, initialDelayMs: 60_000 };
      const options = { retry } as const;
      await serve(
        scene,
        server,
        ({ number }) => {
          calls++;
          if (number === 2 || calls === 1) throw new Error("secret");
        },
        options,
      );
      const client = await scene.connect();
      assert.equal((await ask(scene, client, 1)).total, 2);
      assert.equal(calls, 2);
      // Its third attempt would be in a minute.
      await assert.rejects(ask(scene, client, 2, { timeoutMs: 30_000 }), error => {
        assert.ok(isRpcError(error, "internal"), String(error));
        assert.equal(error.message, "internal error");
        return true;
      });
      await observed.until(all => all.some(({ type }) => type === "events.request.expired"), "the end of the request");
      assert.deepEqual(await scene.letters(server), []);
    },
  },
  {
    name: "a request that nobody takes ends with its deadline, and nobody is bothered with it later",
    lacks: lacksReplies,
    async run(scene) {
      await abandoned(scene);
      const client = await scene.connect();
      await assert.rejects(ask(scene, client, 1, { timeoutMs: 700 }), error => {
        assert.ok(isRpcError(error, "deadline_exceeded"), String(error));
        return true;
      });
      const journal = scene.journal<number>();
      const server = await scene.connect();
      const subscription = await serve(scene, server, ({ number }) => journal.push(number));
      assert.equal((await ask(scene, client, 2)).total, 4);
      await scene.eventually(
        () => subscription.stats(),
        ({ expiredRequests }) => expiredRequests === 1,
        "one expired request",
      );
      assert.deepEqual(journal.entries, [2]);
      assert.deepEqual(await scene.letters(server), []);
    },
  },
  {
    name: "a reply that comes when nobody waits for it any more is counted and dropped",
    lacks: lacksReplies,
    async run(scene) {
      const gate = scene.gate();
      const journal = scene.journal<number>();
      await serve(scene, await scene.connect(), async ({ number }) => {
        journal.push(number);
        if (number === 1) await gate.opened;
      });
      const { broker: client, observed } = await watched(scene);
      const controller = new AbortController();
      const asked = ask(scene, client, 1, { signal: controller.signal });
      await journal.reaches(1);
      controller.abort();
      await assert.rejects(asked, error => isRpcError(error, "cancelled"));
      gate.open();
      await observed.until(all => all.some(({ type }) => type === "events.reply.dropped"), "the late reply");
      assert.equal((await ask(scene, client, 2)).total, 4);
    },
  },
  {
    name: "of two replies to a request the first counts, and the second is dropped",
    lacks: lacksReplies,
    async run(scene) {
      await serve(scene, await scene.connect());
      await serve(scene, await scene.connect(), undefined, { group: scene.harness.uniqueName("second") });
      const { broker: client, observed } = await watched(scene);
      assert.equal((await ask(scene, client, 1)).total, 2);
      await observed.until(all => all.some(({ type }) => type === "events.reply.dropped"), "the second reply");
    },
  },
  {
    name: "a request whose reply_to is no address for replies is refused, and nothing is published there",
    lacks: lacksReplies,
    async run(scene) {
      const journal = scene.journal<number>();
      const server = await scene.connect();
      const subscription = await serve(scene, server, ({ number }) => journal.push(number));
      const client = await scene.connect();
      // The group's own queue and topic: a reply there would come to its handlers.
      const { PlacedSchema, topic } = scene.ledger;
      const hostile = [topic, scene.group, `trunkline.replies.${"0".repeat(31)}`];
      const records = hostile.map((replyTo, number) => ({
        ...client.encode(PlacedSchema, { account: "a", number }),
        replyTo,
        correlationId: "1",
      }));
      assert.deepEqual(
        await scene.within(client.forward(records), "the publishes"),
        hostile.map(() => undefined),
      );
      const letters = await scene.eventually(
        () => scene.letters(server),
        ({ length }) => length === hostile.length,
        "the dead letters",
      );
      for (const { exception, reason } of letters) {
        assert.equal(reason, "invalid");
        assert.match(exception ?? "", /reply_to .* is no address for replies/);
      }
      assert.equal((await ask(scene, client, 7)).total, 14);
      assert.deepEqual(journal.entries, [7]);
      // The reply may be here before the count.
      const { ignored } = await scene.eventually(
        () => subscription.stats(),
        ({ handled }) => handled === 1,
        "one handled request",
      );
      assert.equal(ignored, 0);
    },
  },
  {
    name: "a reply to somebody who has left does not hold up the group",
    lacks: lacksReplies,
    async run(scene) {
      const { broker: server, observed } = await watched(scene);
      await serve(scene, server, undefined, { concurrency: 4 });
      const client = await scene.connect();
      const record = {
        ...client.encode(scene.ledger.PlacedSchema, { account: "a", number: 1 }),
        replyTo: `trunkline.replies.${"0".repeat(32)}`,
        correlationId: "1",
      };
      await client.forward([record]);
      assert.equal((await ask(scene, client, 2)).total, 4);
      await observed.until(all => all.some(({ type }) => type === "events.reply.unsent"), "the reply to nobody");
    },
  },
  {
    name: "draining a member lets the requests that it has begun get their replies",
    lacks: lacksReplies,
    async run(scene) {
      const gate = scene.gate();
      const journal = scene.journal<number>();
      const server = await scene.connect();
      await serve(scene, server, async ({ number }) => {
        journal.push(number);
        await gate.opened;
      });
      const client = await scene.connect();
      const asked = ask(scene, client, 3);
      await journal.reaches(1);
      const closed = server.close();
      gate.open();
      assert.equal((await scene.within(asked, "the reply")).total, 6);
      await scene.within(closed, "the end of the member");
    },
  },
  {
    name: "a connection that closes ends the requests that wait with unavailable",
    lacks: lacksReplies,
    async run(scene) {
      const gate = scene.gate();
      const journal = scene.journal<number>();
      await serve(scene, await scene.connect(), async ({ number }) => {
        journal.push(number);
        await gate.opened;
      });
      const client = await scene.connect();
      const asked = ask(scene, client, 3);
      asked.catch(() => {});
      await journal.reaches(1);
      await scene.within(client.close(), "the end of the connection");
      await assert.rejects(asked, error => isRpcError(error, "unavailable"));
      await assert.rejects(ask(scene, client, 4), error => isRpcError(error, "unavailable"));
      gate.open();
    },
  },
  {
    name: "requests that are pending when all connections are cut get their replies all the same",
    lacks: (capabilities, harness) =>
      lacksReplies(capabilities, harness) ??
      (harness.cutConnections === undefined ? "its test cannot cut connections" : undefined),
    async run(scene) {
      const gate = scene.gate();
      const journal = scene.journal<number>();
      await serve(
        scene,
        await scene.connect(),
        async ({ number }) => {
          journal.push(number);
          if (number > 0) await gate.opened;
        },
        { concurrency: 32 },
      );
      const client = await scene.connect();
      assert.equal((await ask(scene, client, 0)).total, 0);
      const asked = Array.from({ length: 20 }, (_, number) => ask(scene, client, number + 1));
      await journal.until(all => new Set(all).size === 21, "every request in work");
      await scene.harness.cutConnections?.();
      gate.open();
      const replies = await scene.within(Promise.all(asked), "all replies");
      assert.deepEqual(
        replies.map(({ total }) => total),
        asked.map((_, number) => (number + 1) * 2),
      );
      assert.equal((await ask(scene, client, 50)).total, 100);
    },
  },
  {
    name: "requests that are in work when the broker is restarted get their replies all the same",
    lacks: (capabilities, harness) =>
      lacksReplies(capabilities, harness) ?? (harness.restart === undefined ? "its test cannot restart it" : undefined),
    async run(scene) {
      const gate = scene.gate();
      const journal = scene.journal<number>();
      await serve(scene, await scene.connect(), async ({ number }) => {
        journal.push(number);
        await gate.opened;
      });
      const client = await scene.connect();
      // A restart may take a good part of what a step may.
      const asked = Array.from({ length: 10 }, (_, number) => ask(scene, client, number, { timeoutMs: 120_000 }));
      const replied = Promise.all(asked);
      replied.catch(() => {});
      await journal.until(all => new Set(all).size === 10, "every request in work");
      await scene.harness.restart?.();
      gate.open();
      const replies = await scene.within(replied, "all replies");
      assert.deepEqual(
        replies.map(({ total }) => total),
        asked.map((_, number) => number * 2),
      );
    },
  },
];
