import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { sharedPostgres, skipWithoutOwn, uniqueName } from "./index.ts";

const endMsMax = 10_000;

async function listens(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function hasEnded(url: string): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < endMsMax; waitedMs += 50) {
    if (!(await listens(url))) return true;
    await delay(50);
  }
  return false;
}

const notLinux = process.platform !== "linux" && "servers are shared on Linux only";

describe("a shared server", { skip: skipWithoutOwn("postgres") || notLinux }, () => {
  test("is one for all who ask for it at once, also from other processes", async t => {
    const group = uniqueName("group");
    const script = join(import.meta.dirname, "start-and-tell.ts");
    const other = spawn(process.execPath, ["--conditions=trunkline-source", script, "shared", group], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    t.after(() => other.kill("SIGKILL"));
    const [[line], ...mine] = await Promise.all([
      once(other.stdout, "data"),
      ...Array.from({ length: 4 }, () => sharedPostgres({ group, idleMs: 100 })),
    ]);
    const urls = new Set([JSON.parse(String(line)).url, ...mine.map(({ url }) => url)]);
    assert.equal(urls.size, 1);
    const [url] = urls;
    for (const shared of mine) await shared[Symbol.asyncDispose]();
    // Longer than it stays without users.
    await delay(500);
    assert(await listens(url), "it ended although another process uses it");
    other.kill("SIGKILL");
    assert(await hasEnded(url), "it stayed although its last user is gone");
  });

  test("is another one for those who come after its end", async () => {
    const group = uniqueName("group");
    const options = { group, idleMs: 0 };
    for (let round = 0; round < 2; round++) {
      await using shared = await sharedPostgres(options);
      assert(await listens(shared.url));
    }
  });
});
