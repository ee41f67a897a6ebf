// RabbitMQ 3.10 or later: a server that TRUNKLINE_TEST_RABBITMQ names, else one that is installed, else Debian's.
import { realpathSync } from "node:fs";
import { installPackages } from "./debian.mjs";
import { givenServer, pathsOf, versionOf } from "./finding.mjs";

const variable = "TRUNKLINE_TEST_RABBITMQ";

/** Debian's command on PATH insists on its system user and folders; the one that it wraps does not. */
const folders = ["/usr/lib/rabbitmq/bin"];

/** From the name of its folder: `rabbitmqctl version` would leave a daemon (epmd) behind. @param {string} path */
function versionOfServer(path) {
  const [, version] = /rabbitmq(?:_server)?[-/](\d+\.\d+\.\d+[^/]*)\//.exec(realpathSync(path)) ?? [];
  const [major, minor] = (version ?? "0.0").split(".").map(Number);
  return major > 3 || (major === 3 && minor >= 10) ? version : undefined;
}

function installed() {
  const erlang = versionOf("erl", ["-noshell", "-eval", 'io:format("~s", [erlang:system_info(otp_release)]), halt().']);
  if (erlang === undefined) return undefined;
  for (const path of pathsOf(["rabbitmq-server"], folders)) {
    const version = versionOfServer(path);
    if (version !== undefined) return { path, version: `RabbitMQ ${version}, Erlang ${erlang}` };
  }
  return undefined;
}

/** @returns {Promise<import("./finding.mjs").Outcome>} */
export async function rabbitmq() {
  const found = (await givenServer(variable, 5672)) ?? installed();
  if (found !== undefined) return found;
  const failure =
    installPackages({ packages: ["rabbitmq-server"], services: ["rabbitmq-server"] }) ??
    "Debian's package was installed, but does not run";
  return (
    installed() ?? {
      reason: `RabbitMQ is not installed, and ${failure}: install rabbitmq-server, or set ${variable}=amqp://…`,
    }
  );
}
