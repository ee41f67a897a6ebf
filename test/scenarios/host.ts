/** A server process of the scenarios: one that can be stopped (SIGSTOP, a garbage collection), killed, started again. */
import { type Call, createServer, implement, RpcError } from "../../src/exports/index.ts";
import type { ByteStream, Clock, Listening, Network, Platform, Timer } from "../../src/platform/index.ts";
import type { VirtualNetwork, VirtualPlatform } from "../../src/platform/virtual/index.ts";
import { ElizaService } from "../gen/eliza/v1/eliza_pb.ts";

/** What a host does with a call; may be exchanged at any time. */
export type Answer = (call: Call, sentence: string) => string | Promise<string>;
/** What a host says in a stream. */
export type Speech = (call: Call, name: string) => AsyncIterable<string>;

/** A request as it came to a host. */
export interface Arrival {
  readonly atMs: number;
  readonly method: string;
  readonly previousAttempts: number;
}

/**
 * What one process does not do while it is stopped: run timers, see input, accept connections. All of it happens at once
 * when it goes on, in the order in which it came.
 */
class Execution {
  isStopped = false;
  #held: (() => void)[] = [];

  run(work: () => void): void {
    if (this.isStopped) this.#held.push(work);
    else work();
  }

  goOn(): void {
    this.isStopped = false;
    const held = this.#held;
    this.#held = [];
    for (const work of held) this.run(work);
  }
}

class ProcessClock implements Clock {
  readonly #clock: Clock;
  readonly #execution: Execution;

  constructor(clock: Clock, execution: Execution) {
    this.#clock = clock;
    this.#execution = execution;
  }

  now(): number {
    return this.#clock.now();
  }

  wall(): number {
    return this.#clock.wall();
  }

  after(delayMs: number, run: () => void): Timer {
    let isCancelled = false;
    const guarded = () => {
      if (!isCancelled) run();
    };
    const timer = this.#clock.after(delayMs, () => this.#execution.run(guarded));
    return {
      cancel() {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  endOfTurn(run: () => void): void {
    this.#clock.endOfTurn(() => this.#execution.run(run));
  }
}

/** One server with a process and an address of its own, port 80. */
export class Host {
  readonly address: string;
  readonly zone: string | undefined;
  answer: Answer;
  speech: Speech = async function* (_, name) {
    yield name;
  };
  readonly arrivals: Arrival[] = [];
  /** Handlers that run. */
  running = 0;
  readonly platform: VirtualPlatform;
  #execution = new Execution();
  #streams = new Set<ByteStream>();
  #listening: Listening | undefined;
  #server: ReturnType<typeof createServer> | undefined;

  constructor(platform: VirtualPlatform, address: string, answer: Answer, zone?: string) {
    this.platform = platform;
    this.address = address;
    this.answer = answer;
    this.zone = zone;
  }

  /** Starts a new process that listens. */
  async start(): Promise<void> {
    this.#execution = new Execution();
    this.#streams = new Set();
    const { clock, random, network } = this.platform;
    const platform: Platform = {
      clock: new ProcessClock(clock, this.#execution),
      random,
      network: this.#network(network, this.#execution, this.#streams),
    };
    const served = (call: Call, sentence: string) => this.#served(call, async () => this.answer(call, sentence));
    const host = this;
    this.#server = createServer({
      platform,
      openapi: false,
      // A host of the scenarios has a capacity only where its answer says so.
      limits: { handlersPerConnectionMax: 100_000 },
      services: [
        implement(ElizaService, {
          say: ({ sentence }, call) => served(call, sentence),
          forget: ({ sentence }, call) => served(call, sentence),
          async *introduce({ name }, call) {
            host.#arrived(call);
            host.running++;
            try {
              for await (const sentence of host.speech(call, name)) yield { sentence };
            } finally {
              host.running--;
            }
          },
          async summarize(requests, call) {
            host.#arrived(call);
            host.running++;
            let sentences = 0;
            try {
              for await (const _ of requests) sentences++;
            } finally {
              host.running--;
            }
            return { sentences };
          },
        }),
      ],
    });
    await this.#server.listen({ host: this.address, port: 80 });
  }

  /** Nothing runs any more; connections and what was sent on them stay. */
  stop(): void {
    this.#execution.isStopped = true;
    for (const stream of this.#streams) stream.pause();
  }

  goOn(): void {
    for (const stream of this.#streams) stream.resume();
    this.#execution.goOn();
  }

  /** The process is gone: its connections are reset, and new ones refused. */
  async kill(): Promise<void> {
    await this.#listening?.close();
    this.#listening = undefined;
    for (const { client } of this.platform.network.connections) {
      if (client.remoteAddress === this.address) client.cut();
    }
    this.stop();
    this.running = 0;
  }

  /** As on SIGTERM: the listener closes, what runs is answered. */
  async drain(): Promise<void> {
    await this.#server?.drain();
  }

  /** Answers after a time of the host's own; ends early, as it should, when its caller has gone. */
  async work(call: Call, ms: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = this.platform.clock.after(ms, () => this.#execution.run(resolve));
    const gone = () => {
      timer.cancel();
      reject(new RpcError("cancelled", "the caller has gone"));
    };
    call.signal.addEventListener("abort", gone, { once: true });
    if (call.signal.aborted) gone();
    await promise.finally(() => call.signal.removeEventListener("abort", gone));
  }

  async #served(call: Call, answer: () => Promise<string>): Promise<{ sentence: string }> {
    this.#arrived(call);
    this.running++;
    try {
      return { sentence: await answer() };
    } finally {
      this.running--;
    }
  }

  #arrived(call: Call): void {
    const previousAttempts = Number(call.metadata.get("grpc-previous-rpc-attempts") ?? 0);
    this.arrivals.push({ atMs: this.platform.clock.now(), method: call.method.name, previousAttempts });
  }

  #network(network: VirtualNetwork, execution: Execution, streams: Set<ByteStream>): Network {
    return {
      listen: async (options, onConnection) => {
        this.#listening = await network.listen(options, stream => {
          streams.add(stream);
          execution.run(() => onConnection(stream));
        });
        return this.#listening;
      },
      connect: (options, signal) => network.connect(options, signal),
      lookup: host => network.lookup(host),
      dns: options => network.dns(options),
      tlsServerContext: () => network.tlsServerContext(),
      secure: () => network.secure(),
    };
  }
}
