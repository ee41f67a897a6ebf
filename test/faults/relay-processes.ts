import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import process from "node:process";
import { createClient } from "../../src/exports/index.ts";
import { RelayService } from "../gen/faults/relay_pb.ts";
import { FaultProxy } from "./fault-proxy.ts";

/** Real processes of `main.ts`, each behind a proxy of its own; all end when this is disposed. */
export class RelayProcesses implements AsyncDisposable {
  readonly proxies: FaultProxy[] = [];
  readonly #processes: ChildProcess[] = [];
  readonly #ports: number[] = [];

  /** @param role `answer`, `fail`, or the port to ask */
  async start(name: string, role: "answer" | "fail" | number = "answer"): Promise<FaultProxy> {
    const main = path.join(import.meta.dirname, "main.ts");
    const child = spawn(process.execPath, ["--conditions=trunkline-source", main, name, String(role)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#processes.push(child);
    const [line] = (await Promise.race([
      once(child.stdout, "data"),
      once(child, "exit").then(([code]) => Promise.reject(new Error(`${name} ended with ${code} before it listened`))),
    ])) as [Buffer];
    const port = Number(line.toString());
    const proxy = await FaultProxy.start({ port });
    this.#ports.push(port);
    this.proxies.push(proxy);
    return proxy;
  }

  /** The target of all of them, through their proxies. */
  get target(): string {
    return `static:///${this.proxies.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  }

  /** How often each process was asked, in the order of their starts; goes past the proxies. */
  counts(): Promise<number[]> {
    return Promise.all(
      this.#ports.map(async port => {
        const client = createClient(RelayService, `127.0.0.1:${port}`);
        return (await client.count({})).asked;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) child.kill("SIGKILL");
    for (const proxy of this.proxies) await proxy[Symbol.asyncDispose]();
  }
}

export interface Outcome {
  /** When it was sent, from the start. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly isGood: boolean;
  /** Why it is not good. */
  readonly error: unknown;
}

/**
 * Calls at an even rate whether or not earlier ones have ended; resolves when all have. What a late timer missed is made
 * up for, so that the number of calls does not depend on how busy the machine is.
 */
export async function offer(perSecond: number, seconds: number, call: () => Promise<unknown>): Promise<Outcome[]> {
  const startMs = performance.now();
  const running: Promise<Outcome>[] = [];
  const one = async (): Promise<Outcome> => {
    const atMs = performance.now() - startMs;
    const [isGood, error] = await call().then(
      () => [true, undefined] as const,
      (error: unknown) => [false, error] as const,
    );
    return { atMs, tookMs: performance.now() - startMs - atMs, isGood, error };
  };
  for (;;) {
    const due = Math.min(seconds, (performance.now() - startMs) / 1_000) * perSecond;
    while (running.length < due) running.push(one());
    if (running.length >= seconds * perSecond) return Promise.all(running);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** The share of good outcomes, 0 to 1. */
export function share(outcomes: readonly Outcome[]): number {
  return outcomes.filter(({ isGood }) => isGood).length / outcomes.length;
}

/** For messages of assertions: the share, and the reasons of the others. */
export function told(outcomes: readonly Outcome[]): string {
  const reasons = new Map<string, number>();
  for (const { isGood, error } of outcomes) {
    if (!isGood) reasons.set(String(error), (reasons.get(String(error)) ?? 0) + 1);
  }
  return `${share(outcomes)} answered; ${[...reasons].map(([reason, count]) => `${count} × ${reason}`).join("; ")}`;
}
