import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { DnsError } from "../network.ts";
import { addressesInHostsFile, systemDns } from "./dns.ts";

test("a table of hosts is read as hosts(5) says", () => {
  const table =
    "127.0.0.1 localhost\n# 10.0.0.1 orders\n10.0.0.2\tOrders orders.example # 10.0.0.3\n::2 orders\nnonsense orders\n10.0.0.4 orders2";
  assert.deepEqual(addressesInHostsFile(table, "orders"), ["10.0.0.2", "::2"]);
  assert.deepEqual(addressesInHostsFile(table, "ORDERS.example"), ["10.0.0.2"]);
  assert.deepEqual(addressesInHostsFile(table, "10.0.0.2"), []);
  assert.deepEqual(addressesInHostsFile("", "orders"), []);
});

test("a DNS server must be an address", () => {
  assert.throws(() => systemDns({ servers: ["ns.example"] }), /DNS servers ns\.example: each must be an IP address/);
});

/** Answers every query with a response code, or an A record with a time to live. */
async function dnsServer(t: { after(run: () => void): void }, answer: { code: number } | { ttlSeconds: number }) {
  const socket = createSocket("udp4");
  t.after(() => socket.close());
  socket.on("message", (query, peer) => {
    // RFC 1035, section 4.1: the header with its flags turned around, the question as it came, the answer.
    const end = query.indexOf(0, 12) + 5;
    const response = Buffer.from(query.subarray(0, end));
    response.writeUInt16BE(0x8180 | ("code" in answer ? answer.code : 0), 2);
    response.writeUInt16BE("code" in answer ? 0 : 1, 6);
    response.fill(0, 8, 12);
    const record = Buffer.from("c00c00010001000000000004c0000201", "hex");
    if ("ttlSeconds" in answer) record.writeInt32BE(answer.ttlSeconds, 6);
    socket.send("code" in answer ? response : Buffer.concat([response, record]), peer.port, peer.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return systemDns({ servers: [`127.0.0.1:${socket.address().port}`], timeoutMs: 200 });
}

test("addresses come with their time to live", async t => {
  const client = await dnsServer(t, { ttlSeconds: 77 });
  assert.deepEqual(await client.resolveAddresses("orders.example", 4), [{ address: "192.0.2.1", ttlSeconds: 77 }]);
});

for (const [code, reason] of [
  [2, "server_failure"],
  [3, "not_found"],
  [5, "refused"],
  [0, "not_found"],
] as const) {
  test(`response code ${code} is ${reason}`, async t => {
    const client = await dnsServer(t, { code });
    for (const query of [
      client.resolveAddresses("orders.example", 4),
      client.resolveServices("_a._tcp.orders.example"),
    ]) {
      await assert.rejects(
        query,
        error => error instanceof DnsError && error.reason === reason && /orders\.example/.test(error.message),
      );
    }
  });
}
