import assert from "node:assert/strict";
import { test } from "node:test";
import { Environment } from "./index.ts";

test("options are read from variables of their names", () => {
  const environment = new Environment({
    TRUNKLINE_MAX_CONNECTIONS: " 500 ",
    TRUNKLINE_DRAIN_TIMEOUT: "1.5s",
    TRUNKLINE_ALLOW_PLAINTEXT: "Yes",
    TRUNKLINE_HOSTS: "a, b,,c",
    TRUNKLINE_LOG_LEVEL: "info",
    TRUNKLINE_EMPTY: "",
  });
  assert.equal(environment.integer("maxConnections", 1, 1_000), 500);
  assert.equal(environment.durationMs("drainTimeout"), 1_500);
  assert.equal(environment.flag("allowPlaintext"), true);
  assert.deepEqual(environment.list("hosts"), ["a", "b", "c"]);
  assert.equal(environment.oneOf("logLevel", ["debug", "info"]), "info");
  assert.equal(environment.text("empty"), undefined);
  assert.equal(environment.integer("absent"), undefined);
});

test("a value that cannot be used is named with its variable", () => {
  const environment = new Environment({ TRUNKLINE_PORT: "80a", TRUNKLINE_WAIT: "10", TRUNKLINE_ON: "maybe" });
  assert.throws(() => environment.integer("port", 0, 65_535), /TRUNKLINE_PORT="80a" is not an integer from 0 to 65535/);
  assert.throws(() => environment.durationMs("wait"), /TRUNKLINE_WAIT="10" is not a time such as/);
  assert.throws(() => environment.flag("on"), /TRUNKLINE_ON="maybe" is not "true" or "false"/);
  assert.throws(() => environment.oneOf("on", ["a", "b"]), /one of a, b/);
});
