import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import { afterEach, describe, test } from "node:test";
import { givenServer } from "./provision/finding.mjs";

const variable = "TRUNKLINE_TEST_OF_PROVISIONING";

describe("a server that the environment names", () => {
  afterEach(() => {
    delete process.env[variable];
  });

  test("is not looked for when the variable is absent or empty", async () => {
    assert.equal(await givenServer(variable, 1), undefined);
    process.env[variable] = "";
    assert.equal(await givenServer(variable, 1), undefined);
  });

  test("is taken when it accepts connections, as host and port, as a URL, and on its usual port", async () => {
    await using server = createServer(socket => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    for (const address of [
      `127.0.0.1:${port}`,
      `amqp://user:secret@127.0.0.1:${port}/host`,
      "postgres://127.0.0.1/db",
    ]) {
      process.env[variable] = address;
      assert.deepEqual(await givenServer(variable, port), { address, version: `the server that ${variable} names` });
    }
  });

  test("is missing when it cannot be reached; the reason has no password", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    process.env[variable] = `amqp://user:secret@127.0.0.1:${port}`;
    const outcome = await givenServer(variable, 5672);
    assert(outcome !== undefined && "reason" in outcome);
    assert.match(outcome.reason, new RegExp(`names 127\\.0\\.0\\.1:${port}, which cannot be reached: .*ECONNREFUSED`));
    assert.doesNotMatch(outcome.reason, /secret/);
  });

  test("is missing when the variable holds no address", async () => {
    process.env[variable] = "amqp://user:secret@";
    assert.deepEqual(await givenServer(variable, 5672), { reason: `${variable} holds no address` });
  });
});
