import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Message, toJson } from "@bufbuild/protobuf";
import { type Call, createServer, implement, type Server } from "trunkline";
import { Bodies, Paths } from "../gen/transcoding/v1/transcoding_pb.ts";
import { bodyCases, type Case, pathCases, queryCases } from "./cases.ts";
import { HttpClient } from "./http-client.ts";

let server: Server;
let client: HttpClient;

/** Answers with the request, as protobuf-es writes it. */
const echo = (request: Message, call: Call) => ({
  method: call.method.name,
  request: JSON.stringify(toJson(call.method.desc.input, request)),
});

before(async () => {
  const handlers = (methods: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.keys(methods).map(name => [name, echo]));
  server = createServer({
    services: [
      implement(Paths, handlers(Paths.method)),
      implement(Bodies, {
        ...handlers(Bodies.method),
        part: () => ({ text: "x", names: [], nested: { pageSize: 2 } }),
        raw: request => request,
        nothing: () => ({}),
      }),
    ],
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  client = new HttpClient(port);
});
after(async () => {
  client[Symbol.dispose]();
  await server.close();
});

function judge([line, expected, body]: Case): void {
  const shown = body === undefined ? line : `${line} with ${body.length > 60 ? `${body.slice(0, 60)}…` : body}`;
  if ("status" in expected) {
    test(`${shown} is refused with ${expected.status} ${expected.rule ?? ""}`.trimEnd(), async () => {
      const answer = await client.send(line, body);
      assert.equal(answer.status, expected.status, answer.body.toString());
      assert.equal(answer.headers["content-type"], "application/problem+json");
      const problem = JSON.parse(answer.body.toString()) as {
        violations?: { field: string; rule: string }[];
        status: number;
      };
      assert.equal(problem.status, expected.status);
      if (expected.rule !== undefined) {
        const { field, rule } = problem.violations?.[0] ?? {};
        assert.deepEqual({ field, rule }, { field: expected.field, rule: expected.rule }, answer.body.toString());
      }
      if (expected.allow !== undefined) assert.equal(answer.headers["allow"], expected.allow);
    });
    return;
  }
  const [method, request = {}] = expected;
  test(`${shown} is ${method}${expected.length > 1 ? ` with ${JSON.stringify(request)}` : ""}`, async () => {
    const answer = await client.send(line, body);
    assert.equal(answer.status, 200, answer.body.toString());
    const echoed = JSON.parse(answer.body.toString()) as { method: string; request: string };
    assert.equal(echoed.method, method);
    assert.deepEqual(JSON.parse(echoed.request), request);
  });
}

describe("paths", () => pathCases.forEach(judge));
describe("queries", () => queryCases.forEach(judge));
describe("bodies", () => bodyCases.forEach(judge));

test("there are at least 250 cases, each written once", () => {
  const all = [...pathCases, ...queryCases, ...bodyCases];
  assert(all.length >= 250, `${all.length} cases`);
  assert.equal(new Set(all.map(([line, , body]) => `${line} ${body}`)).size, all.length);
});
