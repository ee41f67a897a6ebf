import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { OrderService } from "../../examples/shop/src/gen/order/order_pb.ts";
import { Bodies, Paths } from "../../test/gen/transcoding/v1/transcoding_pb.ts";
import { createServer, implement, type Server } from "../exports/index.ts";
import { run } from "./recorded-terminal.fixture.ts";

const root = process.cwd();
const orderModule = "examples/shop/src/gen/order/order_pb.ts";

let server: Server;
let address: string;
let served: unknown;
let folder: string;

before(async () => {
  // Inside of the checkout, where buf is found.
  folder = mkdtempSync(join(root, ".build/openapi-"));
  server = createServer({ services: [implement(OrderService, {})] });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  address = `http://127.0.0.1:${port}`;
  served = await (await fetch(`${address}/openapi.json`)).json();
});

after(async () => {
  await server.drain({ timeoutMs: 1000 });
  rmSync(folder, { recursive: true, force: true });
});

/** A file with its imports before it, as buf writes it. */
function setOf(file: DescFile): Uint8Array {
  const files = new Map<string, FileDescriptorProto>();
  const collect = (one: DescFile) => {
    for (const dependency of one.dependencies) collect(dependency);
    files.set(one.proto.name, one.proto);
  };
  collect(file);
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files.values()] }));
}

async function documentOf(args: readonly string[], input?: Uint8Array): Promise<unknown> {
  const { exitCode, out, error } = await run(root, ["openapi", ...args], input);
  assert.equal(error, "");
  assert.equal(exitCode, 0);
  return JSON.parse(out);
}

test("the document of a module of generated code is what its server has at /openapi.json", async () => {
  assert.deepEqual(await documentOf([orderModule]), served);
});

test("so is that of a folder of .proto files that imports google/api, buf/validate and trunkline", async () => {
  assert.deepEqual(await documentOf(["examples/shop/proto", "--service", "order.OrderService"]), served);
});

test("so is that of a descriptor set, in a file or on the standard input", async () => {
  const set = setOf(OrderService.file);
  const file = join(folder, "contract.binpb");
  writeFileSync(file, set);
  // The set has what the contract imports, too: the customer service.
  const chosen = ["--service", OrderService.typeName];
  assert.deepEqual(await documentOf([file, ...chosen]), served);
  assert.deepEqual(await documentOf(["-", ...chosen], set), served);
});

test("so is that of the running server itself, which is asked by reflection", async () => {
  assert.deepEqual(await documentOf([address]), served);
});

test("options go where the same options of createServer go", async () => {
  const openapi = {
    title: "Everything",
    version: "2.1.0",
    description: "What there is.",
    servers: [{ url: "https://a.example" }, { url: "https://b.example" }],
  };
  const other = createServer({ services: [implement(Paths, {}), implement(Bodies, {})], openapi });
  const { port } = await other.listen({ port: 0, host: "127.0.0.1" });
  const expected = await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json();
  await other.drain({ timeoutMs: 1000 });
  const { title, version, description } = openapi;
  const chosen = ["-s", Paths.typeName, "-s", Bodies.typeName];
  const told = ["--title", title, "--version", version, "--description", description];
  const servers = openapi.servers.flatMap(({ url }) => ["--server", url]);
  assert.deepEqual(
    await documentOf(["test/gen/transcoding/v1/transcoding_pb.ts", ...chosen, ...told, ...servers]),
    expected,
  );
});

test("--output writes the file and nothing else; --compact makes it one line", async () => {
  const file = join(folder, "openapi.json");
  const { exitCode, out } = await run(root, ["openapi", orderModule, "--compact", "-o", file]);
  assert.equal(exitCode, 0);
  assert.equal(out, "");
  const text = readFileSync(file, "utf8");
  assert.deepEqual(JSON.parse(text), served);
  assert.equal(text.indexOf("\n"), text.length - 1);
});

test("what cannot be done exits with 1 and says in one line what is wrong and what to do", async () => {
  const empty = join(folder, "empty.mjs");
  writeFileSync(empty, "export const answer = 42;");
  const text = join(folder, "text.binpb");
  writeFileSync(text, "not a descriptor set");
  const broken = join(folder, "broken.mjs");
  writeFileSync(broken, "import './nowhere.mjs';");
  const lines: readonly (readonly [readonly string[], RegExp])[] = [
    [["nowhere"], /nowhere does not exist/],
    [[empty], /there is no service in the contract/],
    [[broken], /cannot load .*broken\.mjs: Cannot find module/],
    [[text], /text\.binpb is not a descriptor set; make one with buf build -o/],
    [
      [orderModule, "-s", "order.Ordering"],
      /there is no service "order\.Ordering"; the contract has order\.OrderService/,
    ],
    [[orderModule, "-o", join(folder, "no/such/folder.json")], /cannot write .*ENOENT/],
    [["http://127.0.0.1:1"], /127\.0\.0\.1:1 did not answer: .*nothing listens there/],
    [["http://"], /http:\/\/ is not an address/],
  ];
  for (const [args, expected] of lines) {
    const { exitCode, out, error } = await run(root, ["openapi", ...args]);
    assert.equal(exitCode, 1, error);
    assert.equal(out, "");
    assert.match(error, expected);
    assert.match(error, /^trunkline openapi: [^\n]*\n$/, "one line");
  }
});

test("a server without reflection is told from one that is not there", async () => {
  const silent = createServer({ services: [implement(OrderService, {})], reflection: false });
  const { port } = await silent.listen({ port: 0, host: "127.0.0.1" });
  const { exitCode, error } = await run(root, ["openapi", `http://127.0.0.1:${port}`]);
  await silent.drain({ timeoutMs: 1000 });
  assert.equal(exitCode, 1);
  assert.match(error, /has no gRPC reflection; give the contract's folder instead/);
});

test("the compiler's message names the user's file", async () => {
  const proto = join(folder, "contract");
  mkdirSync(proto);
  writeFileSync(join(proto, "mistake.proto"), 'syntax = "proto3";\npackage a;\nmessage B { Missing c = 1; }\n');
  const { exitCode, error } = await run(folder, ["openapi", "contract"]);
  assert.equal(exitCode, 1);
  assert.match(error, /buf: contract\/mistake\.proto:3:13:/);
});
