import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { benchFolder, rootFolder } from "./folders.ts";
import type { Peer } from "./peers.ts";

/** What a reader needs to judge the figures. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly versions: Readonly<Record<string, string>>;
}

export function describeMachine(peers: readonly Peer[]): Machine {
  const versions: Record<string, string> = { node: process.version.slice(1) };
  for (const name of new Set(peers.flatMap(peer => peer.packages))) versions[name] ??= versionOf(name);
  versions.go = firstLine("go", ["version"]);
  versions.h2load = firstLine("h2load", ["--version"]);
  versions.wrk = firstLine("wrk", ["--version"]);
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    versions,
  };
}

function versionOf(name: string): string {
  if (name === "google.golang.org/grpc") {
    const go = readFileSync(join(benchFolder, "peers/grpc-go/go.mod"), "utf8");
    return /google\.golang\.org\/grpc v(\S+)/.exec(go)?.[1] ?? "unknown";
  }
  // Clients of brokers are those that the library itself is built on.
  const installed = [benchFolder, rootFolder].map(folder => join(folder, "node_modules", name, "package.json"));
  const file = name === "trunkline" ? join(rootFolder, "package.json") : installed.find(existsSync);
  if (file === undefined) return "not installed";
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function firstLine(program: string, args: readonly string[]): string {
  const { stdout, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error !== undefined) return "not installed";
  return (
    stdout.split("\n")[0]?.replace(/^go version go|^h2load nghttp2\/|^wrk (debian\/)?| \[epoll\].*| linux\/.*/g, "") ??
    "unknown"
  );
}
