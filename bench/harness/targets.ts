import { ourName } from "./peers.ts";
import type { Metric } from "./scenarios.ts";
import { findRow, type Row, spreadOf } from "./statistics.ts";

/** A promise of ours: our median against a peer's, or against a fixed figure. */
export interface Target {
  readonly scenario: string;
  readonly metric: Metric;
  readonly peer?: string;
  /** The peer folder that stands for us. @default trunkline */
  readonly ours?: string;
  /**
   * `least`: ours is at least `bound` times the peer's (or the figure); `most`: at most; `beyond`: ours less the peer's is at
   * most `bound`.
   */
  readonly direction: "least" | "most" | "beyond";
  readonly bound: number;
}

const faster = (scenario: string, peer: string, bound: number): Target => ({
  scenario,
  metric: "perSecond",
  peer,
  direction: "least",
  bound,
});
const cheaper = (scenario: string, metric: Metric, peer: string, bound: number): Target => ({
  scenario,
  metric,
  peer,
  direction: "most",
  bound,
});
const atMost = (scenario: string, metric: Metric, bound: number): Target => ({
  scenario,
  metric,
  direction: "most",
  bound,
});

const atLeast = (scenario: string, metric: Metric, bound: number): Target => ({
  scenario,
  metric,
  direction: "least",
  bound,
});

export const targets: readonly Target[] = [
  faster("unary-64", "grpc-js", 10),
  faster("unary-64", "connect-node", 25),
  faster("unary-64", "grpc-go", 2.5),
  faster("unary-64", "moleculer-tcp", 1.3),
  faster("unary-64", "nestjs-tcp", 1.3),
  // What the guards cost: at most 3 % of the calls.
  faster("unary-64", "trunkline-unguarded", 0.97),
  // Fixed figures hold for a machine on which grpc-go takes 32 and 33 µs: ratios to it are what travels.
  cheaper("unary-64", "serverCpuUs", "grpc-go", 12 / 32),
  cheaper("unary-64", "clientCpuUs", "grpc-go", 14 / 33),
  cheaper("server-alone", "serverCpuUs", "grpc-js", 1 / 6),
  cheaper("server-alone", "serverCpuUs", "grpc-go-1", 1 / 2.5),
  faster("server-stream", "grpc-js", 5),
  faster("server-stream", "grpc-go", 1),
  cheaper("unary-1", "p50Us", "grpc-js", 0.5),
  faster("echo-1mib", "grpc-js", 4),
  faster("echo-1mib", "grpc-go", 0.9),
  faster("rest-get", "fastify", 1.8),
  faster("rest-get", "node-http", 1.5),
  faster("rest-get", "express", 4),
  // What connect-es's users get by changing two lines: client alone against one server, then client and router.
  { ...faster("connect-client-64", "connect-node-grpc", 10), ours: "connect-es-trunkline" },
  { ...faster("unary-64", "connect-node-grpc", 10), ours: "connect-es-trunkline" },
  // What a REST route costs beyond the call itself.
  { scenario: "transcoding", metric: "serverCpuUs", peer: "trunkline-connect", direction: "beyond", bound: 2 },
  // The HTTP/1.1 client has no public interface of its own yet, so it is driven below the call layer.
  { ...faster("rest-client-64", "undici", 1.5), ours: "trunkline-wire" },
  faster("codec-binary", "protobuf-es", 4),
  faster("codec-binary", "protobufjs", 1.3),
  faster("codec-json", "protobuf-es", 3),
  faster("five-parts", "cockatiel", 10),
  faster("five-parts", "opossum", 10),
  // 300 ns and 100 ns, on a machine where reading its clock takes 25 ns; the ratios are what travels.
  atLeast("five-parts", "perSecond", 3_333_333),
  atMost("five-parts", "heapBytesEach", 1),
  faster("breaker-closed", "cockatiel", 1),
  faster("breaker-closed", "opossum", 10),
  faster("breaker-open", "cockatiel", 1),
  faster("breaker-open", "opossum", 1),
  atLeast("breaker-open-permit", "perSecond", 10_000_000),
  faster("retry-first", "cockatiel", 1),
  faster("retry-first", "p-retry", 1),
  atLeast("events-memory", "perSecond", 300_000),
  atLeast("embedded-publish", "perSecond", 50_000),
  atLeast("embedded-consume", "perSecond", 100_000),
  faster("rabbitmq-publish", "amqplib", 0.9),
  faster("rabbitmq-consume", "amqplib", 0.9),
  faster("kafka-publish", "platformatic-kafka", 0.9),
  faster("kafka-consume", "platformatic-kafka", 0.9),
  faster("kafka-one-by-one", "platformatic-kafka", 20),
  atLeast("outbox-postgres", "perSecond", 5_000),
  // Latency is that of a service with room to spare: at full load it is only the length of the queue.
  atMost("outbox-postgres-half", "p50Us", 10_000),
  atLeast("outbox-postgres-single", "perSecond", 5_000),
  atLeast("events-keyed", "idealShare", 0.9),
  cheaper("rpc-beside-embedded", "p99Us", "trunkline-without-events", 2),
  atMost("embedded-idle", "idlePercent", 0.5),
  atMost("embedded-backlog", "growthBytes", 32 * 2 ** 20),
  atLeast("inbox-sqlite", "perSecond", 5_000),
  atMost("idle-connection", "heapBytesEach", 16 * 1024),
  atMost("open-stream", "heapBytesEach", 2 * 1024),
];

/** Ours divided by the peer's (`beyond`: less the peer's), or our own figure where the target has no peer; `undefined` when one was not measured. */
export function measure(target: Target, rows: readonly Row[]): number | undefined {
  const ours = spreadOf(findRow(rows, target.scenario, target.ours ?? ourName), target.metric)?.median;
  if (ours === undefined || target.peer === undefined) return ours;
  const theirs = spreadOf(findRow(rows, target.scenario, target.peer), target.metric)?.median;
  if (theirs === undefined || theirs === 0) return undefined;
  return target.direction === "beyond" ? ours - theirs : ours / theirs;
}

export function isMet(target: Target, measured: number): boolean {
  return target.direction === "least" ? measured >= target.bound : measured <= target.bound;
}
