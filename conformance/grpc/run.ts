import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { OrderService } from "../../examples/shop/src/gen/order/order_pb.ts";
import {
  type Channel,
  createChannel,
  createClient,
  createServer,
  isRpcError,
  type Metadata,
} from "../../src/exports/index.ts";
import { Tally } from "../tally.ts";
import { Children } from "./children.ts";
import { provision } from "./provision.ts";

/**
 * gRPC by its other implementations: grpc-go's interoperability client against our server and our client against its
 * server, plaintext and TLS; Go and Python programs with code from the guide's proto against the shop's order-service,
 * and our client against theirs; retries of grpc-go against our server and ours against its. `node conformance/grpc/run.ts`; the last line is `N passed, N failed`.
 *
 * Left out of the described cases are those that need credentials of a cloud, `orca_*` and `*_soak`.
 */
const goCases = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "status_code_and_message",
  "special_status_message",
  "custom_metadata",
  "unimplemented_method",
  "unimplemented_service",
  "pick_first_unary",
];
const testName = "foo.test.google.fr";

const tally = new Tally();
const { check } = tally;

/** Takes over the lines `ok …` and `failed …: …` of a program; one that prints none has failed. */
function reportLines(name: string, output: string): void {
  const lines = output.split("\n").filter(line => /^(ok|failed) /.test(line));
  if (lines.length === 0) tally.report(name, `no results: ${output}`);
  for (const line of lines) {
    const [, verdict, what] = /^(ok|failed) (.*)$/.exec(line) as RegExpExecArray;
    tally.report(`${name}: ${what}`, verdict === "ok" ? undefined : "see above");
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

const needs = provision();
// Only now: their messages have just been generated.
const { interopService } = await import("./interop-service.ts");
const { interopCases } = await import("./interop-client.ts");
const { retryService } = await import("./retry-service.ts");
const { retryCases } = await import("./retry-client.ts");
const certificates = {
  ca: readFileSync(needs.certificates.ca),
  cert: readFileSync(needs.certificates.cert),
  key: readFileSync(needs.certificates.key),
};
using children = new Children();

async function goClientAgainstOurServer(isTls: boolean): Promise<void> {
  const { cert, key } = certificates;
  await using server = createServer({ services: [interopService], tls: isTls ? { cert, key } : undefined });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const tls = isTls
    ? ["--use_tls", "--use_test_ca", `--ca_file=${needs.certificates.ca}`, `--server_host_override=${testName}`]
    : [];
  for (const name of goCases) {
    await check(`grpc-go client, our server, ${isTls ? "TLS" : "plaintext"}: ${name}`, () =>
      children.run(needs.goInteropClient, [
        "--server_host=127.0.0.1",
        `--server_port=${port}`,
        `--test_case=${name}`,
        ...tls,
      ]),
    );
  }
}

/** The interoperability server says nothing when it listens, so it is asked until it answers. */
async function untilReady(channel: Channel): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await interopCases["empty_unary"]?.(channel);
      return;
    } catch (error) {
      if (tries === 100 || !isRpcError(error, "unavailable")) throw error;
      await sleep(100);
    }
  }
}

async function ourClientAgainstGoServer(isTls: boolean): Promise<void> {
  const port = await freePort();
  const tls = isTls
    ? ["--use_tls", `--tls_cert_file=${needs.certificates.cert}`, `--tls_key_file=${needs.certificates.key}`]
    : [];
  const server = children.start(needs.goInteropServer, [`--port=${port}`, ...tls]);
  await using channel = createChannel(`127.0.0.1:${port}`, {
    tls: isTls ? { ca: certificates.ca, serverName: testName } : undefined,
  });
  await untilReady(channel);
  for (const [name, run] of Object.entries(interopCases)) {
    await check(`our client, grpc-go server, ${isTls ? "TLS" : "plaintext"}: ${name}`, () => run(channel));
  }
  server.kill("SIGKILL");
}

/** The guide's clients against the shop's order-service. */
async function guideClients(): Promise<void> {
  const serve = path.join(import.meta.dirname, "../../examples/shop/src/serve.ts");
  const offset = (await freePort()) - 50_051;
  const env = { PORT_OFFSET: String(offset) };
  await children.firstLine(process.execPath, ["--conditions=trunkline-source", serve, "order-service"], env);
  const address = `127.0.0.1:${50_051 + offset}`;
  reportLines("Go, the guide's proto", await children.run(needs.goGuideClient, [address]));
  const program = path.join(import.meta.dirname, "guide/client.py");
  const output = await children.run("python3", [program, address], { PYTHONPATH: needs.python });
  reportLines("Python grpcio, the guide's proto", output);
}

async function guideServer(name: string, port: number): Promise<void> {
  await using channel = createChannel(`127.0.0.1:${port}`);
  const orders = createClient(OrderService, channel, { compression: "gzip", compressBytesMin: 0 });
  await check(`our client, ${name}: getOrder`, async () => {
    const order = await orders.getOrder({ orderId: "123" }, { compression: "identity" });
    assert.equal(order.customerId, "customer-456");
    assert.equal(order.createdAt, 2n ** 53n);
  });
  await check(`our client, ${name}: an order that does not exist`, () =>
    assert.rejects(
      orders.getOrder({ orderId: "nothing" }, { compression: "identity" }),
      error => isRpcError(error, "not_found") && error.message === "order nothing does not exist",
    ),
  );
  await check(`our client, ${name}: streamOrders`, async () => {
    const ids: string[] = [];
    for await (const { id, customerId } of orders.streamOrders({ customerId: "c" }, { compression: "identity" })) {
      assert.equal(customerId, "c");
      ids.push(id);
    }
    assert.deepEqual(
      ids,
      Array.from({ length: ids.length }, (_, i) => String(i)),
    );
    assert(ids.length >= 200);
  });
  await check(`our client, ${name}: leaving streamOrders`, async () => {
    for await (const _ of orders.streamOrders({}, { compression: "identity" })) break;
    await orders.getOrder({ orderId: "123" }, { compression: "identity" });
  });
}

/** grpc-go with a retry policy against our server, our client with what a contract says against grpc-go's. */
async function retries(): Promise<void> {
  await using server = createServer({ services: [retryService()] });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  reportLines("grpc-go retries, our server", await children.run(needs.goRetryClient, [`127.0.0.1:${port}`]));
  const goPort = Number(await children.firstLine(needs.goRetryServer, []));
  await using channel = createChannel(`127.0.0.1:${goPort}`);
  for (const [name, run] of Object.entries(retryCases)) {
    await check(`our retries, grpc-go server: ${name}`, () => run(channel));
  }
}

await goClientAgainstOurServer(false);
await goClientAgainstOurServer(true);
await ourClientAgainstGoServer(false);
await ourClientAgainstGoServer(true);
await retries();
await guideClients();
await guideServer("Go server of the guide", Number(await children.firstLine(needs.goGuideServer, [])));

const program = path.join(import.meta.dirname, "guide/server.py");
const python = Number(await children.firstLine("python3", [program], { PYTHONPATH: needs.python }));
await guideServer("Python server", python);
await check("our client, Python server: compressed both ways, metadata", async () => {
  const orders = createClient(OrderService, `127.0.0.1:${python}`, { compression: "gzip", compressBytesMin: 0 });
  const seen: unknown[] = [];
  const onHeaders = (headers: Metadata): void => {
    seen.push(headers.get("x-echo"), [...(headers.get("x-bytes-bin") as Uint8Array)]);
  };
  await orders.getOrder({ orderId: "123" }, { metadata: { "x-echo": "a b" }, onHeaders });
  assert.deepEqual(seen, ["a b", [0, 255]]);
  const items = [{ productId: "p", quantity: 1, price: 0.5 }];
  const created = await orders.createOrder({ customerId: "c".repeat(10_000), items });
  assert.equal(created.customerId.length, 10_000);
  assert.equal(created.items[0]?.price, 0.5);
  await assert.rejects(orders.getOrder({ orderId: "x" }), error => {
    return isRpcError(error, "not_found") && error.metadata["x-why"] === "no such order";
  });
});

tally.end();
