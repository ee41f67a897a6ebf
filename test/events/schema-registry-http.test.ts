import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { openRegistry, type Registry } from "../../src/events/schema-registry/index.ts";
import type { RegistryError } from "../../src/events/schema-registry/registry.ts";
import { silentObserver, systemPlatform } from "../../src/platform/index.ts";

/** What a server may answer that is no registry, or an ill one. */
const cases: readonly (readonly [
  what: string,
  answer: (response: ServerResponse) => void,
  says: RegExp,
  isRetryable: boolean,
])[] = [
  ["two megabytes", response => response.end("x".repeat(2_097_152)), /has more than 1048576 bytes/, true],
  ["a page", response => response.end("<html>"), /cannot be understood; is it a schema registry\?/, true],
  ["a list", response => response.end("[]"), /cannot be understood/, true],
  ["an id that is none", response => response.end('{"schema":5}'), /cannot be understood/, true],
  [
    "half an answer",
    response => response.writeHead(200, { "content-length": "100" }).write("{", () => response.destroy()),
    /did not answer/,
    true,
  ],
  ["nothing", response => response.destroy(), /did not answer/, true],
  ["a proxy's 404", response => response.writeHead(404).end("<html>"), /answered 404/, true],
  [
    "its own 404",
    response => response.writeHead(404).end('{"error_code":40403,"message":"x"}'),
    /does not know schema 1/,
    false,
  ],
  [
    "a redirection",
    response => response.writeHead(302, { location: "http://elsewhere/" }).end(),
    /answered 302/,
    false,
  ],
  [
    "503",
    response => response.writeHead(503).end('{"message":"no\\nleader"}'),
    /answered 503 for schema 1: no leader/,
    true,
  ],
  ["429", response => response.writeHead(429).end(), /answered 429/, true],
  ["403", response => response.writeHead(403).end(), /check kafka\.schemaRegistry\.auth/, false],
];

describe("a server that is asked for a schema", () => {
  let answer: (response: ServerResponse, request: IncomingMessage) => void = response => response.end();
  const server = createServer((request, response) => answer(response, request));
  let registry: Registry;
  before(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const options = { url: `http://127.0.0.1:${port}/apis/ccompat/v7/` };
    registry = openRegistry(options, systemPlatform, silentObserver);
  });
  after(() => {
    registry.close();
    server.closeAllConnections();
    server.close();
  });

  for (const [what, answers, says, isRetryable] of cases) {
    test(`and gives ${what} is not believed`, async () => {
      answer = answers;
      await assert.rejects(registry.schemaById(1), (error: RegistryError) => {
        assert.match(error.message, says);
        assert.equal(error.isRetryable, isRetryable);
        return true;
      });
    });
  }

  test("is asked below its path, with names that cannot leave theirs", async () => {
    let asked = "";
    answer = (response, request) => {
      asked = `${request.method} ${request.url}`;
      response.end('{"id":1,"version":1}');
    };
    await registry.lookup("../a b/c?d#e", { schema: "", schemaType: "PROTOBUF", references: [] });
    assert.equal(asked, "POST /apis/ccompat/v7/subjects/..%2Fa%20b%2Fc%3Fd%23e?normalize=true");
  });
});
