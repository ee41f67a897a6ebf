/**
 * The world of the scenarios: servers with processes of their own, the Kubernetes API that tells where they are, and one
 * client with its default policy, on one virtual clock and over real bytes of the protocols. Start at `world`.
 */
import path from "node:path";
import type { TestContext } from "node:test";
import { ScriptedApiServer } from "../../src/calls/discovery/kubernetes/api-server.fixture.ts";
import {
  type Channel,
  type ChannelOptions,
  type ClientPolicy,
  createChannel,
  createClient,
  type ErrorCode,
  isRpcError,
  type ObservedEvent,
} from "../../src/exports/index.ts";
import { virtualPlatform } from "../../src/platform/virtual/index.ts";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";
import { type Answer, Host } from "./host.ts";

export interface Outcome {
  /** When the call was made, on the clock. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly code: "ok" | ErrorCode;
}

export interface WorldOptions {
  /** How the client finds the hosts: through the API, which can tell of changes, by their addresses, or by a name. @default "kubernetes" */
  readonly target?: "kubernetes" | "static" | "dns";
  readonly seed?: number;
  readonly latencyMs?: number;
  readonly channel?: ChannelOptions;
  readonly policy?: ClientPolicy | false;
  /** Zones of the hosts, in their order. */
  readonly zones?: readonly string[];
  readonly answer?: Answer;
}

/** Milliseconds that a call takes at a host at least and at most, unless the scenario says otherwise. */
const serviceMs = [4, 8] as const;

/** So many hosts, known to the Kubernetes API and to a client that has not called yet. */
export async function world(t: TestContext, count: number, options: WorldOptions = {}): Promise<World> {
  const made = new World(count, options);
  t.after(() => made.close());
  for (let index = 0; index < count; index++) await made.addHost(options.zones?.[index]);
  made.publish();
  if (options.target === undefined || options.target === "kubernetes") {
    await made.api.listen();
    // The one thing that comes from outside is the kubeconfig: the clock stands still until it is read.
    await made.channel.resolved();
    await made.platform.clock.settle();
  }
  made.platform.network.conditions.latencyMs = options.latencyMs ?? 1;
  return made;
}

const addressOf = (index: number) => `10.1.0.${index + 1}`;

export class World {
  readonly platform;
  readonly hosts: Host[] = [];
  readonly api: ScriptedApiServer;
  readonly channel: Channel;
  readonly client;
  readonly events: (ObservedEvent & { readonly atMs: number })[] = [];
  readonly #answer: Answer | undefined;

  constructor(count: number, { seed = 1, target = "kubernetes", channel, policy, answer }: WorldOptions) {
    this.platform = virtualPlatform({ seed });
    this.api = new ScriptedApiServer(this.platform);
    this.#answer = answer;
    const addresses = Array.from({ length: count }, (_, index) => addressOf(index));
    const targets = {
      kubernetes: "k8s:///eliza.shop:grpc",
      static: `static:///${addresses.map(address => `${address}:80`).join(",")}`,
      dns: "dns:///eliza:80",
    };
    this.platform.network.dnsServer.set("eliza", addresses);
    this.channel = createChannel(targets[target], {
      platform: this.platform,
      discovery: {
        kubernetes: { kubeconfig: path.join(import.meta.dirname, "kubeconfig.json"), variables: {} },
      },
      observer: { emit: event => void this.events.push({ ...event, atMs: this.nowMs }) },
      ...channel,
    });
    this.client = createClient(ElizaService, this.channel, { policy });
  }

  get nowMs(): number {
    return this.platform.clock.now();
  }

  /** One more host, not published yet. */
  async addHost(zone?: string): Promise<Host> {
    const working: Answer = async call => {
      const [least, most] = serviceMs;
      await host.work(call, least + this.platform.random.next() * (most - least));
      return host.address;
    };
    const host = new Host(this.platform, addressOf(this.hosts.length), this.#answer ?? working, zone);
    this.hosts.push(host);
    await host.start();
    return host;
  }

  /** Tells the API which hosts there are; those in `terminating` still serve and are about to leave. */
  publish(ready: readonly Host[] = this.hosts, terminating: readonly Host[] = []): void {
    const endpoint = (host: Host, conditions: object) => ({
      addresses: [host.address],
      zone: host.zone,
      conditions,
      targetRef: { kind: "Pod", name: host.address, uid: host.address },
    });
    this.api.put("eliza", [
      ...ready.map(host => endpoint(host, { ready: true })),
      ...terminating.map(host => endpoint(host, { ready: false, serving: true, terminating: true })),
    ]);
  }

  /** Makes one call and tells what became of it. */
  async outcome(call: () => Promise<unknown>): Promise<Outcome> {
    const atMs = this.nowMs;
    const code = await call().then(
      () => "ok" as const,
      (error: unknown) => {
        if (isRpcError(error)) return error.code;
        throw error;
      },
    );
    return { atMs, tookMs: this.nowMs - atMs, code };
  }

  /** Calls at an even rate, whether or not earlier ones have ended; what has ended is in `outcomes` then. */
  async offer(
    perSecond: number,
    ms: number,
    outcomes: Outcome[],
    call: () => Promise<unknown> = () => this.client.say({}),
  ): Promise<void> {
    // At most every few milliseconds: a turn of the loop costs more than a call.
    const tickMs = Math.max(5, 1_000 / perSecond);
    const perTick = Math.round((perSecond * tickMs) / 1_000);
    for (let passedMs = 0; passedMs < ms; passedMs += tickMs) {
      for (let n = 0; n < perTick; n++) void this.outcome(call).then(outcome => outcomes.push(outcome));
      await this.platform.clock.advance(tickMs);
    }
  }

  /** Runs something at a time from now. */
  at(ms: number, run: () => void): void {
    this.platform.clock.after(ms, run);
  }

  /** Requests that came to hosts in a span of time. */
  arrived(fromMs = 0, untilMs = Number.POSITIVE_INFINITY, hosts: readonly Host[] = this.hosts): number {
    let count = 0;
    for (const { arrivals } of hosts) {
      for (const { atMs } of arrivals) if (atMs >= fromMs && atMs < untilMs) count++;
    }
    return count;
  }

  told<T extends string>(type: T): (ObservedEvent & { readonly atMs: number })[] {
    return this.events.filter(event => event.type === type);
  }

  close(): void {
    this.channel.close();
  }
}

/** The calls that were made in a span of time. */
export function within(outcomes: readonly Outcome[], fromMs: number, untilMs = Number.POSITIVE_INFINITY): Outcome[] {
  return outcomes.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
}

/** The share of calls that were answered, 0 to 1. Of no calls it means nothing. */
export function share(outcomes: readonly Outcome[]): number {
  if (outcomes.length === 0) throw new Error("the share of no calls");
  return outcomes.filter(({ code }) => code === "ok").length / outcomes.length;
}

/** The time that so many of a hundred calls did not exceed. */
export function percentileMs(outcomes: readonly Outcome[], percent: number): number {
  const sorted = outcomes.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

/** When the last call was made that failed or took longer than it may; `fromMs` where there is none after it. */
export function troubledUntilMs(outcomes: readonly Outcome[], fromMs: number, tookMaxMs: number): number {
  const troubled = outcomes.filter(({ code, tookMs }) => code !== "ok" || tookMs > tookMaxMs);
  return Math.max(fromMs, ...troubled.map(({ atMs }) => atMs));
}

/** For messages of assertions. */
export function told(outcomes: readonly Outcome[]): string {
  const codes = Map.groupBy(outcomes, ({ code }) => code);
  const counts = [...codes].map(([code, { length }]) => `${length} ${code}`).join(", ");
  return `${counts}; p50 ${percentileMs(outcomes, 50)} ms, p99 ${percentileMs(outcomes, 99)} ms`;
}
