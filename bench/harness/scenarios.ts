export const groups = ["rpc", "rest", "codec", "resilience", "events", "memory"] as const;
export type Group = (typeof groups)[number];

/** What a round yields. CPU times and memory are those of one process. */
export type Metric =
  | "perSecond"
  | "serverCpuUs"
  | "clientCpuUs"
  | "p50Us"
  | "p99Us"
  | "serverRssBytes"
  | "clientRssBytes"
  | "heapBytesEach"
  | "rssBytesEach"
  | "idealShare"
  | "idlePercent"
  | "growthBytes";

/**
 * Who makes the load: the peer's own client, h2load or wrk against the peer's server, one process for all (codecs,
 * guards of functions), raw connections that only stay open, or a process for each round beside a broker.
 */
export type Load = "client" | "h2load" | "wrk" | "in-process" | "hold-open" | "events";

export interface Scenario {
  readonly name: string;
  readonly group: Group;
  readonly title: string;
  readonly load: Load;
  readonly concurrency: number;
  readonly metrics: readonly Metric[];
  /** What `perSecond` counts; one echo is one MiB each way. */
  readonly unit: string;
  /** The server of all peers, where the clients are compared. */
  readonly serverPeer?: string;
  /** What events go through, or what keeps them. */
  readonly server?: "rabbitmq" | "kafka" | "postgres";
}

const both: readonly Metric[] = [
  "perSecond",
  "serverCpuUs",
  "clientCpuUs",
  "p50Us",
  "p99Us",
  "serverRssBytes",
  "clientRssBytes",
];
const serverOnly: readonly Metric[] = ["perSecond", "serverCpuUs", "serverRssBytes"];
const eventMetrics: readonly Metric[] = ["perSecond", "clientCpuUs", "clientRssBytes"];
/** Where the events per second are not what is asked for. */
const metricsOfEvents: Readonly<Record<string, readonly Metric[]>> = {
  "embedded-idle": ["idlePercent", "clientRssBytes"],
  "embedded-backlog": ["perSecond", "growthBytes", "clientRssBytes"],
  "rpc-beside-embedded": ["perSecond", "p50Us", "p99Us"],
  "events-keyed": ["perSecond", "idealShare", "clientCpuUs"],
};
/** The heap is what is left of a call after a collection. */
const guardMetrics: readonly Metric[] = ["perSecond", "clientCpuUs", "heapBytesEach"];

export const scenarios: readonly Scenario[] = [
  {
    name: "unary-64",
    group: "rpc",
    title: "Unary call, small message, 64 in flight",
    load: "client",
    concurrency: 64,
    metrics: both,
    unit: "calls",
  },
  {
    name: "unary-1",
    group: "rpc",
    title: "Unary call, small message, one at a time",
    load: "client",
    concurrency: 1,
    metrics: both,
    unit: "calls",
  },
  {
    name: "server-stream",
    group: "rpc",
    title: "Server stream of small messages",
    load: "client",
    concurrency: 1,
    metrics: ["perSecond", "serverCpuUs", "clientCpuUs"],
    unit: "messages",
  },
  {
    name: "echo-1mib",
    group: "rpc",
    title: "Echo of 1 MiB, 8 in flight",
    load: "client",
    concurrency: 8,
    metrics: both,
    unit: "MiB each way",
  },
  {
    name: "connect-client-64",
    group: "rpc",
    title: "connect-es's client alone, 64 in flight, against trunkline's server",
    load: "client",
    concurrency: 64,
    metrics: ["perSecond", "clientCpuUs", "p50Us", "p99Us", "clientRssBytes"],
    unit: "calls",
    serverPeer: "trunkline",
  },
  {
    name: "server-alone",
    group: "rpc",
    title: "gRPC server alone: h2load, 8 connections × 20 streams",
    load: "h2load",
    concurrency: 160,
    metrics: serverOnly,
    unit: "calls",
  },
  {
    name: "rest-get",
    group: "rest",
    title: "REST GET with JSON body: wrk, 64 connections, HTTP/1.1",
    load: "wrk",
    concurrency: 64,
    metrics: serverOnly,
    unit: "requests",
  },
  {
    name: "transcoding",
    group: "rest",
    title: "The same method by its REST route and by Connect with JSON: wrk, 64 connections, HTTP/1.1",
    load: "wrk",
    concurrency: 64,
    metrics: serverOnly,
    unit: "requests",
  },
  {
    name: "rest-client-64",
    group: "rest",
    title: "REST client, 64 in flight, against node:http",
    load: "client",
    concurrency: 64,
    metrics: ["perSecond", "clientCpuUs", "p50Us", "p99Us", "clientRssBytes"],
    unit: "calls",
    serverPeer: "node-http",
  },
  {
    name: "codec-binary",
    group: "codec",
    title: "Order (94 bytes), binary: encode + decode",
    load: "in-process",
    concurrency: 1,
    metrics: ["perSecond", "clientCpuUs"],
    unit: "orders",
  },
  {
    name: "codec-json",
    group: "codec",
    title: "Order, JSON: encode + decode",
    load: "in-process",
    concurrency: 1,
    metrics: ["perSecond", "clientCpuUs"],
    unit: "orders",
  },
  {
    name: "five-parts",
    group: "resilience",
    title: "Fallback, time-out, bulkhead, retry and breaker around a resolved function (opossum has no retry)",
    load: "in-process",
    concurrency: 1,
    metrics: guardMetrics,
    unit: "calls",
  },
  {
    name: "breaker-closed",
    group: "resilience",
    title: "Breaker around a resolved function",
    load: "in-process",
    concurrency: 1,
    metrics: guardMetrics,
    unit: "calls",
  },
  {
    name: "breaker-open",
    group: "resilience",
    title: "Open breaker: a call that is rejected with an exception",
    load: "in-process",
    concurrency: 1,
    metrics: guardMetrics,
    unit: "calls",
  },
  {
    name: "breaker-open-permit",
    group: "resilience",
    title: "Open breaker: a permit that is refused",
    load: "in-process",
    concurrency: 1,
    metrics: guardMetrics,
    unit: "refusals",
  },
  {
    name: "retry-first",
    group: "resilience",
    title: "Retry around a function that succeeds at once",
    load: "in-process",
    concurrency: 1,
    metrics: guardMetrics,
    unit: "calls",
  },
  ...(
    [
      ["events-memory", "Memory broker: publish and handle, JSON of 230 bytes, in one process"],
      ["embedded-publish", "Embedded broker: publish, durable before it is confirmed"],
      ["embedded-consume", "Embedded broker: handle a backlog"],
      ["rabbitmq-publish", "RabbitMQ: publish persistent events with confirms, pipelined", "rabbitmq"],
      ["rabbitmq-consume", "RabbitMQ: handle a backlog of a durable queue", "rabbitmq"],
      ["kafka-publish", "Kafka: publish, idempotent, all replicas confirm, pipelined", "kafka"],
      ["kafka-consume", "Kafka: handle a backlog", "kafka"],
      ["kafka-one-by-one", "Kafka: publish one by one; ours gathers calls that nobody awaits in between", "kafka"],
      ["embedded-idle", "Embedded broker: a subscriber that has nothing to do"],
      ["embedded-backlog", "Embedded broker: memory while a backlog of a million events is handled"],
      [
        "rpc-beside-embedded",
        "Unary calls, one at a time, of a server that also publishes and handles 10,000 events/s",
      ],
      ["events-keyed", "Handlers of 10 ms, in order per key: 16 keys, then 512, of which 64 at once"],
      [
        "outbox-postgres",
        "Outbox in PostgreSQL: transactions of ten events, as fast as ten writers can, until the memory broker has it",
        "postgres",
      ],
      ["outbox-postgres-half", "The same with 5,000 events/s, about half of what it can do", "postgres"],
      ["outbox-postgres-single", "Outbox in PostgreSQL: one event in each transaction, 32 writers", "postgres"],
      ["inbox-sqlite", "Inbox in SQLite: durable effects, 64 handlers at once"],
    ] as const
  ).map(
    ([name, title, server]): Scenario => ({
      name,
      group: "events",
      title,
      load: "events",
      concurrency: 1,
      metrics:
        metricsOfEvents[name] ?? (name.startsWith("outbox") ? [...eventMetrics, "p50Us", "p99Us"] : eventMetrics),
      unit: "events",
      ...(server === undefined ? {} : { server }),
    }),
  ),
  {
    name: "idle-connection",
    group: "memory",
    title: "Server memory per idle HTTP/2 connection, of 2,000",
    load: "hold-open",
    concurrency: 2_000,
    metrics: ["heapBytesEach", "rssBytesEach"],
    unit: "connections",
  },
  {
    name: "open-stream",
    group: "memory",
    title: "Server memory per open stream: 50 connections × 100",
    load: "hold-open",
    concurrency: 5_000,
    metrics: ["heapBytesEach", "rssBytesEach"],
    unit: "streams",
  },
];

export const streamsPerConnection = 100;
