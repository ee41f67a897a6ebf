import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { benchFolder } from "./folders.ts";

/** A peer: its folder under `bench/peers`, described by `peer.json`. */
export interface Peer {
  readonly name: string;
  readonly title: string;
  /** Packages whose versions the report names. */
  readonly packages: readonly string[];
  readonly scenarios: readonly string[];
  readonly nodeOptions?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What wrk sends. @default GET of the order's REST route */
  readonly request?: WrkRequest;
  /** Programs relative to `bench`; by default Node with the peer's `server.ts` and `client.ts`. */
  readonly serverCommand?: readonly string[];
  readonly clientCommand?: readonly string[];
}

export interface WrkRequest {
  readonly path: string;
  readonly contentType: string;
  /** Sent by POST; `ORDER_ID` stands for the order's. */
  readonly body: string;
}

/** All peers, ours first. */
export function readPeers(): Peer[] {
  const folder = join(benchFolder, "peers");
  const names = readdirSync(folder).filter(name => existsSync(join(folder, name, "peer.json")));
  const peers = names.map(
    name => ({ name, ...JSON.parse(readFileSync(join(folder, name, "peer.json"), "utf8")) }) as Peer,
  );
  return peers.sort((a, b) => Number(b.name === ourName) - Number(a.name === ourName) || a.name.localeCompare(b.name));
}

export const ourName = "trunkline";

export function commandOf(peer: Peer, role: "server" | "client", nodeOptions: readonly string[] = []): string[] {
  const own = role === "server" ? peer.serverCommand : peer.clientCommand;
  if (own !== undefined) return own.map((part, index) => (index === 0 ? join(benchFolder, part) : part));
  return [
    process.execPath,
    ...(peer.nodeOptions ?? []),
    ...nodeOptions,
    join(benchFolder, "peers", peer.name, `${role}.ts`),
  ];
}
