import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface Records {
  /** Addresses of names. */
  readonly hosts: Readonly<Record<string, readonly string[]>>;
  /** `name,target,port,priority,weight`, as dnsmasq writes service records. */
  readonly services?: readonly string[];
}

/** A DNS server of other people whose records can change while it runs. */
export class Dnsmasq implements Disposable {
  readonly port: number;
  readonly #program: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "trunkline-dnsmasq-"));
  #process: ChildProcess | undefined;
  #services: readonly string[] = [];

  constructor(program: string, port: number) {
    this.#program = program;
    this.port = port;
  }

  get server(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start({ hosts, services = this.#services }: Records): Promise<void> {
    this.#services = services;
    this.#writeHosts(hosts);
    this.#process = spawn(
      this.#program,
      [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        `--port=${this.port}`,
        "--user=root",
        `--pid-file=${join(this.#folder, "pid")}`,
        `--addn-hosts=${join(this.#folder, "hosts")}`,
        "--local-ttl=1",
        "--local=/test/",
        "--log-queries",
        `--log-facility=${join(this.#folder, "log")}`,
        ...services.map(one => `--srv-host=${one}`),
      ],
      { stdio: "ignore" },
    );
    const resolver = new Resolver({ timeout: 200, tries: 1 });
    resolver.setServers([this.server]);
    for (let attempt = 0; attempt < 50; attempt++) {
      if (this.#process.exitCode !== null) throw new Error(`dnsmasq ended with ${this.#process.exitCode}`);
      try {
        await resolver.resolve4(Object.keys(hosts)[0] ?? "a.test");
        return;
      } catch {
        await sleep(50);
      }
    }
    throw new Error("dnsmasq does not answer");
  }

  /** New addresses, read by the running server. */
  change(hosts: Records["hosts"]): void {
    this.#writeHosts(hosts);
    this.#process?.kill("SIGHUP");
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }

  /** How many queries of a type for a name have come. */
  queries(type: string, name: string): number {
    const log = readFileSync(join(this.#folder, "log"), "utf8");
    return log.split("\n").filter(line => line.includes(`query[${type}] ${name} `)).length;
  }

  [Symbol.dispose](): void {
    this.#process?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #writeHosts(hosts: Records["hosts"]): void {
    const lines = Object.entries(hosts).flatMap(([name, addresses]) =>
      addresses.map(address => `${address} ${name}\n`),
    );
    writeFileSync(join(this.#folder, "hosts"), lines.join(""));
  }
}

/** A UDP port that is free now. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}
