import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createRegistry } from "@bufbuild/protobuf";
import { ContractError, createServer, type Handlers, implement, type Observer, RpcError, type Server } from "trunkline";
import { Corners, Paths } from "../gen/transcoding/v1/transcoding_pb.ts";
import { HttpClient } from "./http-client.ts";

let server: Server;
let client: HttpClient;
const events: unknown[] = [];
const observer: Observer = { emit: event => void events.push(event) };

const corners: Handlers<typeof Corners> = {
  headAlone: () => ({ method: "head" }),
  getBesideHead: ({ name }, call) => {
    if (name === "framing") call.responseHeaders.set("transfer-encoding", "chunked");
    if (name === "details") {
      throw new RpcError("not_found", "x", { details: [[createRegistry() as never, { no: "message" }]] });
    }
    return { method: "get" };
  },
  attach: ({ name, content }) =>
    name === "link"
      ? { content: { case: "link", value: "elsewhere" } }
      : { content: { case: "file", value: content.value as never } },
  zero: () => ({}),
  makeNamed: request => request,
};

before(async () => {
  server = createServer({ services: [implement(Corners, corners)], observer });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  client = new HttpClient(port);
});
after(async () => {
  client[Symbol.dispose]();
  await server.close();
});

describe("a custom rule of kind HEAD", () => {
  test("answers HEAD in place of the GET route of its path", async () => {
    assert.equal((await client.send("GET /c/head/a")).headers["content-length"], String('{"method":"get"}'.length));
    assert.equal((await client.send("HEAD /c/head/a")).headers["content-length"], String('{"method":"head"}'.length));
  });

  test("is named once in Allow", async () => {
    assert.equal((await client.send("PUT /c/head/a")).headers["allow"], "HEAD, GET, OPTIONS");
  });
});

test("a body fills a field of a oneof, and an answer's body is one", async () => {
  const answer = await client.send("POST /c/attach/a", "some bytes", { "content-type": "text/x" });
  assert.deepEqual([answer.headers["content-type"], answer.body.toString()], ["text/x", "some bytes"]);
  const other = await client.send("POST /c/attach/link", "x", { "content-type": "text/x" });
  assert.deepEqual([other.headers["content-type"], other.body.length], ["application/octet-stream", 0]);
});

describe("the part of an answer that is absent", () => {
  const expected = {
    text: '""',
    number: "0",
    long: '"0"',
    flag: "false",
    enum: '"COLOR_UNSPECIFIED"',
    list: "[]",
    map: "{}",
    optional: "null",
    message: "null",
  };
  for (const [part, json] of Object.entries(expected)) {
    test(`${part} is ${json}`, async () => {
      assert.equal((await client.send(`GET /c/zero/${part}`)).body.toString(), json);
    });
  }
});

test("an Any holds the types that the contract knows, both ways, in the dialect's JSON", async () => {
  const any = { "@type": "type.googleapis.com/transcoding.v1.Nested", name: "a", pageSize: 2 };
  const answer = await client.send("POST /c/named", JSON.stringify({ any }));
  assert.equal(answer.status, 201, answer.body.toString());
  assert.deepEqual(JSON.parse(answer.body.toString()), { any });
});

describe("Location", () => {
  const locationOf = async (body: object) =>
    (await client.send("POST /c/named", JSON.stringify(body))).headers["location"];

  test("keeps the slashes of a name that is a path, and escapes everything else", async () => {
    assert.equal(await locationOf({ name: "shelves/a b?c", left: "x/y" }), "/c/shelves/a%20b%3Fc/of/x%2Fy");
  });

  test("reads members of oneofs, and is left out when one is not set", async () => {
    assert.equal(await locationOf({ name: "shelves/a", right: 1 }), undefined);
    assert.equal(await locationOf({ left: "a" }), undefined);
  });
});

test("a path that two methods have is an error at start that names both", () => {
  const twin = Paths.methods.find(({ name }) => name === "One");
  assert(twin);
  const desc = { ...Paths, methods: [...Paths.methods, { ...twin, name: "Twin" }] };
  assert.throws(
    () => createServer({ services: [implement(desc as never, {})] }),
    (error: unknown) =>
      error instanceof ContractError &&
      error.message === "transcoding.v1.Paths.Twin and transcoding.v1.Paths.One both have the route GET /v1/one/{name}",
  );
});

describe("what a handler gives and HTTP cannot send", () => {
  for (const name of ["framing", "details"]) {
    test(`${name}: an internal error for the caller, an event for the owner, and the server goes on`, async () => {
      events.length = 0;
      const answer = await client.send(`GET /c/head/${name}`);
      assert.equal(answer.status, 500);
      assert.equal(JSON.parse(answer.body.toString()).code, "internal");
      assert(events.some(event => (event as { type: string }).type === "rpc.handler.failed"));
      assert.equal((await client.send("GET /c/head/a")).status, 200);
    });
  }
});
