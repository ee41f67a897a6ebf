import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import path from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Health } from "../src/contract/gen/grpc/health/v1/health_pb.ts";
import { createChannel, createClient, createServer } from "../src/exports/index.ts";

function start(...args: readonly string[]): ChildProcess {
  const main = path.join(import.meta.dirname, "workers/main.ts");
  return spawn(process.execPath, ["--conditions=trunkline-source", main, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** The process that answers a new connection. */
async function askPid(port: number): Promise<number> {
  await using channel = createChannel(`127.0.0.1:${port}`);
  let pid = 0;
  const onHeaders = (headers: { get(name: string): unknown }): void => {
    pid = Number(headers.get("x-pid"));
  };
  await createClient(Health, channel).check({}, { timeoutMs: 5_000, onHeaders });
  return pid;
}

test("workers share one port, a killed one is replaced, and all drain with the primary", {
  timeout: 60_000,
}, async () => {
  const program = start("2");
  try {
    const [line] = (await once(program.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    const port = Number(line.toString());
    const pids = new Set<number>();
    for (let i = 0; i < 4; i++) pids.add(await askPid(port));
    assert.equal(pids.size, 2);
    assert(!pids.has(program.pid as number));
    const [victim] = pids;
    process.kill(victim as number, "SIGKILL");
    for (;;) {
      const pid = await askPid(port).catch(() => undefined);
      if (pid !== undefined && !pids.has(pid)) break;
    }
    program.kill("SIGTERM");
    const [code] = (await once(program, "exit")) as [number | null];
    assert.equal(code, 0);
  } finally {
    program.kill("SIGKILL");
  }
});

test("a worker that cannot listen fails the start of all, and its output names the port", {
  timeout: 60_000,
}, async () => {
  const taken = createTcpServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const program = start("2", String(port));
  try {
    let output = "";
    program.stderr?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const [code] = (await once(program, "close")) as [number | null];
    assert.equal(code, 1);
    assert.match(output, new RegExp(`127\\.0\\.0\\.1:${port}`));
    assert.match(output, /before it listened/);
  } finally {
    program.kill("SIGKILL");
    taken.close();
  }
});

test("a count of workers that is no number of processes is refused", async () => {
  for (const workers of [0, -1, 1.5, Number.NaN]) {
    await assert.rejects(createServer({ services: [], workers }).listen({ port: 0 }), /an integer from 1 to 1024/);
  }
});
