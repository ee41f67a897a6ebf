import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { discover, resolve, ServiceDiscoveryError } from "../../src/exports/discovery.ts";
import { debianProgram } from "../debian.ts";
import { Dnsmasq, freeUdpPort } from "./dnsmasq.ts";
import { Load, startServer } from "./load.ts";
import { Verdicts } from "./verdicts.ts";

/**
 * A real DNS server (dnsmasq) whose records change while twelve callers never rest: every change is followed within
 * seconds, and no call fails that had an endpoint to go to. `node conformance/dns/run.ts`; the last line is
 * `N passed, N failed`.
 */
const verdicts = new Verdicts();
using dns = new Dnsmasq(debianProgram("dnsmasq", "dnsmasq-base"), await freeUdpPort());
const stay = setInterval(() => {}, 60_000);

// Servers on several addresses of the loopback network, all on one port: what one name with several addresses needs.
const first = await startServer("one", "127.0.0.2", 0);
const { port } = first;
const two = await startServer("two", "127.0.0.3", port);
const three = await startServer("three", "127.0.0.4", port);
const [a, b, c] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"] as const;

await dns.start({ hosts: { "orders.test": [a] } });
const target = `dns://${dns.server}/orders.test:${port}`;

{
  await using load = new Load(target);
  await verdicts.check("A: one address, all calls go there", async () => `${await load.until("one", 3_000)} ms`);
  await verdicts.check("A: an address that is added gets calls", async () => {
    dns.change({ "orders.test": [a, b] });
    return `${await load.until("one,two", 4_000)} ms`;
  });
  await verdicts.check("A: an address that is removed gets no more, and its server may stop", async () => {
    dns.change({ "orders.test": [b, c] });
    const ms = await load.until("three,two", 4_000);
    await first.server.close();
    await sleep(500);
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("A: records that change every half second are followed, and no call fails", async () => {
    for (const hosts of [[b], [c], [b, c], [c], [b], [b, c], [c, b], [b], [b, c]]) {
      dns.change({ "orders.test": hosts });
      await sleep(500);
    }
    await load.until("three,two", 4_000);
    return load.expectNoFailure();
  });
  await verdicts.check("A: the time to live (1 s) is kept: about a query a second from each client", async () => {
    const before = dns.queries("A", "orders.test");
    await sleep(5_000);
    const count = dns.queries("A", "orders.test") - before;
    assert.ok(count >= 6 && count <= 12, `${count} queries of two clients in 5 s`);
    return `${count} queries of two clients in 5 s`;
  });
  await verdicts.check("A: an address where nothing listens costs no call while there are others", async () => {
    dns.change({ "orders.test": [a, b, c] });
    await sleep(3_000);
    assert.equal(await load.serversFor(500), "three,two");
    assert.equal(load.channel.endpoints().length, 3);
    dns.change({ "orders.test": [b, c] });
    await load.until("three,two", 4_000);
    return load.expectNoFailure();
  });
  await verdicts.check("server killed: calls go on with the last addresses, which are marked stale", async () => {
    await dns.stop();
    await sleep(12_000);
    assert.equal(await load.serversFor(500), "three,two");
    assert.ok(load.channel.endpoints().every(({ isStale }) => isStale));
    return load.expectNoFailure();
  });
  await verdicts.check("server back with other records: they are followed, and no longer stale", async () => {
    await dns.start({ hosts: { "orders.test": [c] } });
    const ms = await load.until("three", 40_000);
    assert.ok(load.channel.endpoints().every(({ isStale }) => !isStale));
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("the name disappears: the last addresses stay, marked stale", async () => {
    dns.change({ "other.test": [c] });
    await sleep(3_500);
    assert.ok(load.channel.endpoints().every(({ isStale }) => isStale));
    assert.equal(await load.serversFor(300), "three");
    return load.expectNoFailure();
  });
}

await dns.stop();
const services = (...records: string[]) => records.map(one => `_grpc._tcp.orders.test,${one}`);
const hosts = { "two.test": [b], "three.test": [c] };
await dns.start({ hosts, services: services(`two.test,${port},0,10`) });
{
  await using load = new Load(`dns+srv://${dns.server}/_grpc._tcp.orders.test`);
  await verdicts.check(
    "SRV: target and port of the record are called",
    async () => `${await load.until("two", 3_000)} ms`,
  );
  await verdicts.check("SRV: a record that is added under load gets calls, with its weight", async () => {
    await dns.stop();
    await dns.start({ hosts, services: services(`two.test,${port},0,10`, `three.test,${port},0,30`) });
    const ms = await load.until("three,two", 5_000);
    await load.untilEndpoints(2, 5_000);
    const weights = load.channel.endpoints().map(({ weight }) => weight);
    assert.deepEqual(weights.sort(), [10, 30]);
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("SRV: of several priorities the lowest is called", async () => {
    await dns.stop();
    await dns.start({ hosts, services: services(`two.test,${port},5,10`, `three.test,${port},1,10`) });
    const ms = await load.until("three", 5_000);
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
  await verdicts.check("SRV: when its targets have no address any more, the next priority takes over", async () => {
    dns.change({ "two.test": [b] });
    const ms = await load.until("two", 5_000);
    return `${ms} ms; ${load.expectNoFailure()}`;
  });
}

await verdicts.check("a name that does not exist is a ServiceDiscoveryError that names it", async () => {
  await using nobody = discover(`dns://${dns.server}/nobody.test:80`);
  await assert.rejects(
    nobody.fetch("/"),
    error => error instanceof ServiceDiscoveryError && /ENOTFOUND/.test(error.message),
  );
  return undefined;
});
await verdicts.check("a server that refuses is told from a name that is not there", async () => {
  await assert.rejects(
    resolve(`dns://${dns.server}/elsewhere.example:80`),
    error => error instanceof ServiceDiscoveryError && /EREFUSED/.test(error.message),
  );
  return undefined;
});
await verdicts.check("search domains complete a short name", async () => {
  const [endpoint] = await resolve(`dns://${dns.server}/two:80`, { discovery: { dns: { search: ["test"] } } });
  assert.equal(endpoint?.address, b);
  return undefined;
});
await verdicts.check("localhost, addresses and names of /etc/hosts need no DNS server", async () => {
  await dns.stop();
  const discovery = { dns: { timeoutMs: 200 } };
  for (const name of ["localhost", "127.0.0.3"]) {
    const [endpoint] = await resolve(`dns://${dns.server}/${name}:80`, { discovery });
    assert.equal(endpoint?.address, name);
  }
  return undefined;
});

await Promise.all([two, three].map(({ server }) => server.close()));
clearInterval(stay);
verdicts.finish();
