import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { resolve, ServiceDiscoveryError } from "../../src/exports/discovery.ts";
import { Load, startServer } from "../dns/load.ts";
import { Verdicts } from "../dns/verdicts.ts";
import { Cluster, type SliceEndpoint } from "./cluster.ts";
import { podAddress, podPlatform } from "./pod-network.ts";

/**
 * A real Kubernetes API server and etcd, whose EndpointSlices change while twelve callers never rest: every change is
 * followed within a second, and no call fails that had another ready endpoint. `node conformance/kubernetes/run.ts`; the
 * last line is `N passed, N failed`.
 */
const verdicts = new Verdicts();
using cluster = new Cluster();
process.once("SIGTERM", () => process.exit(143)).once("SIGINT", () => process.exit(130));
process.once("exit", () => cluster[Symbol.dispose]());
const stay = setInterval(() => {}, 60_000);
process.stdout.write("starting etcd and kube-apiserver\n");
await cluster.start();

const one = await startServer("one", "127.0.0.2", 0);
const { port } = one;
const two = await startServer("two", "127.0.0.3", port);
const three = await startServer("three", "127.0.0.4", port);
const [a, b, c] = [{ address: podAddress(2) }, { address: podAddress(3) }, { address: podAddress(4) }] as const;
const notReady = { ready: false, serving: false, terminating: false };
const leaving = { ready: false, serving: true, terminating: true };
const discovery = { kubernetes: { kubeconfig: cluster.kubeconfig } };
const service = "orders";
const put = (name: string, ...endpoints: readonly SliceEndpoint[]) => cluster.put({ name, service, port, endpoints });

await verdicts.check("a service that is not there is a ServiceDiscoveryError", async () => {
  const isMissing = (error: unknown) => error instanceof ServiceDiscoveryError && /does it exist/.test(error.message);
  await assert.rejects(resolve("k8s:///orders.default:grpc", { discovery }), isMissing);
  return undefined;
});
await put("orders-1", a);
{
  await using load = new Load("k8s:///orders.default:grpc", discovery, podPlatform);
  await verdicts.check(
    "a slice is found, over TLS with the token of a file",
    async () => `${await load.until("one", 5_000)} ms`,
  );
  await verdicts.check("an endpoint that is added to the slice gets calls", async () => {
    await put("orders-1", a, b);
    return `${await load.until("one,two", 2_000)} ms`;
  });
  await verdicts.check("a second slice of the service counts too", async () => {
    await put("orders-2", c);
    return `${await load.until("one,three,two", 2_000)} ms`;
  });
  await verdicts.check("endpoints that move between slices are neither lost nor counted twice", async () => {
    for (let round = 0; round < 10; round++) {
      await put("orders-2", b, c);
      await put("orders-1", a);
      assert.equal(load.channel.endpoints().length, 3);
      await put("orders-1", a, b);
      await put("orders-2", c);
    }
    await load.until("one,three,two", 2_000);
    return load.expectNoFailure();
  });
  await verdicts.check("an endpoint that is no longer ready gets no more calls", async () => {
    await put("orders-1", a, { ...b, conditions: notReady });
    return `${await load.until("one,three", 2_000)} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("a terminating endpoint is used only when nothing else is ready", async () => {
    await put("orders-1", { ...a, conditions: leaving }, { ...b, conditions: notReady });
    await load.until("three", 2_000);
    await cluster.delete("orders-2");
    await load.until("one", 2_000);
    assert.equal(load.channel.endpoints()[0]?.health, "terminating");
    await put("orders-1", b, c);
    return `${await load.until("three,two", 2_000)} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check(
    "a rolling deploy: each server is taken out, stopped, started and put back; no call fails",
    async () => {
      let stopped = one;
      await put("orders-1", a, b, c);
      await load.until("one,three,two", 2_000);
      for (let round = 0; round < 5; round++) {
        await put("orders-1", { ...a, conditions: leaving }, b, c);
        await sleep(100);
        await stopped.server.drain({ timeoutMs: 5_000 });
        await stopped.server.close();
        stopped = await startServer("one", "127.0.0.2", port);
        await put("orders-1", a, b, c);
        await load.until("one,three,two", 2_000);
      }
      return load.expectNoFailure();
    },
  );
  await verdicts.check("the API server is killed: calls go on, the endpoints are marked stale", async () => {
    await cluster.stopApiServer();
    await load.until("one,three,two", 3_000);
    await sleep(3_000);
    assert.ok(load.channel.endpoints().every(({ isStale }) => isStale));
    assert.equal(load.channel.endpoints().length, 3);
    return load.expectNoFailure();
  });
  await verdicts.check("the API server comes back with another token: changes are followed again", async () => {
    cluster.writeTokens("second");
    await cluster.startApiServer();
    await put("orders-1", b);
    await put("orders-3", c);
    const ms = await load.until("three,two", 40_000);
    assert.ok(load.channel.endpoints().every(({ isStale }) => !isStale));
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("a slice that is deleted takes its endpoints along", async () => {
    await cluster.delete("orders-1");
    return `${await load.until("three", 2_000)} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check(
    "two hundred changes as fast as the API takes them: the last one holds, no call fails",
    async () => {
      for (let round = 0; round < 200; round++) await put("orders-3", ...(round % 2 === 0 ? [b, c] : [c]));
      await put("orders-3", b, c);
      const ms = await load.until("three,two", 3_000);
      return `${ms} ms; ${load.expectNoFailure()}`;
    },
  );
}
await verdicts.check("a port that the service does not have is named, beside those that it has", async () => {
  await assert.rejects(resolve("k8s:///orders.default:http", { discovery }), /has no port "http"; it has "grpc"/);
  return undefined;
});
await verdicts.check("a slice of a thousand endpoints is read whole", async () => {
  const endpoints = Array.from({ length: 1_000 }, (_, index) => ({ address: `10.1.${index >> 8}.${index & 255}` }));
  for (const half of [1, 2]) {
    const of = endpoints.map(({ address }) => ({ address: address.replace("10.1", `10.${half}`) }));
    await cluster.put({ name: `large-${half}`, service: "large", port: 80, endpoints: of });
  }
  const found = await resolve("k8s:///large:grpc", { discovery });
  assert.equal(found.length, 2_000);
  return `${found.length} endpoints`;
});
await verdicts.check("a client certificate is as good as a token; nobody without either may list", async () => {
  const as = (context: string) =>
    resolve("k8s:///orders:grpc", { discovery: { kubernetes: { ...discovery.kubernetes, context } } });
  assert.equal((await as("certificate")).length, 2);
  await assert.rejects(as("stranger"), /answered 40[13]/);
  return undefined;
});
await verdicts.check("a token that is wrong is refused with the API server's own word", async () => {
  cluster.writeTokens("third");
  await assert.rejects(resolve("k8s:///orders:grpc", { discovery }), /answered 401: Unauthorized/);
  return undefined;
});

await Promise.all([two, three].map(({ server }) => server.close()));
clearInterval(stay);
verdicts.finish();
process.exit();
