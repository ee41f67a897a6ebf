import assert from "node:assert/strict";
import { Agent, request as httpRequest } from "node:http";
import { after, before, describe, test } from "node:test";
import { type Message, toJson } from "@bufbuild/protobuf";
import { type Call, createServer, implement, type Server } from "trunkline";
import { Bodies, Paths } from "../gen/transcoding/v1/transcoding_pb.ts";
import { bodyCases, type Case, pathCases, queryCases } from "./cases.ts";

const agent = new Agent({ keepAlive: true });
let server: Server;
let port = 0;

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
  ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }));
});
after(async () => {
  agent.destroy();
  await server.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function send(line: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const [method, path] = line.split(" ", 2);
  const type =
    body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port, method, path, agent, headers: { ...type, ...headers } },
      response => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

function judge([line, expected, body]: Case): void {
  const shown = body === undefined ? line : `${line} with ${body.length > 60 ? `${body.slice(0, 60)}…` : body}`;
  if ("status" in expected) {
    test(`${shown} is refused with ${expected.status} ${expected.rule ?? ""}`.trimEnd(), async () => {
      const answer = await send(line, body);
      assert.equal(answer.status, expected.status, answer.body);
      assert.equal(answer.headers["content-type"], "application/problem+json");
      const problem = JSON.parse(answer.body) as { violations?: { field: string; rule: string }[]; status: number };
      assert.equal(problem.status, expected.status);
      if (expected.rule !== undefined) {
        const { field, rule } = problem.violations?.[0] ?? {};
        assert.deepEqual({ field, rule }, { field: expected.field, rule: expected.rule }, answer.body);
      }
      if (expected.allow !== undefined) assert.equal(answer.headers["allow"], expected.allow);
    });
    return;
  }
  const [method, request = {}] = expected;
  test(`${shown} is ${method}${expected.length > 1 ? ` with ${JSON.stringify(request)}` : ""}`, async () => {
    const answer = await send(line, body);
    assert.equal(answer.status, 200, answer.body);
    const echoed = JSON.parse(answer.body) as { method: string; request: string };
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
