import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../src/platform/index.ts";
import type { OwnServer } from "../servers/index.ts";
import type { Carrier } from "./carrier.ts";
import type { Worker } from "./workers.ts";

/** What chaos falls upon. */
export interface Victims {
  readonly carrier: Carrier;
  readonly workers: readonly Worker[];
  /** Kills a process of the shop; answers which. */
  readonly killOfShop: (random: Random) => string;
}

/** One kind of trouble. Resolves when what it did is undone. */
interface Trouble {
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  readonly begin: (victims: Victims, random: Random, signal: AbortSignal) => Promise<string>;
}

/** Between two troubles; they may overlap. */
const everyMsMin = 1_500;
const everyMsMax = 5_000;
const pausedMsMin = 1_000;
const pausedMsMax = 15_000;
const silentMsMax = 8_000;
const downMsMax = 5_000;
const startTriesMax = 3;
/** While a broker is away nothing else can be learnt; there has to be time between. */
const serverEveryMs = 40_000;

const between = (random: Random, min: number, max: number) => min + random.below(max - min + 1);
const pick = <T>(random: Random, all: readonly T[]): T => all[random.below(all.length)] as T;
const consumers = ({ workers }: Victims) => workers.filter(({ role }) => role === "consumer");
const producers = ({ workers }: Victims) => workers.filter(({ role }) => role === "producer");

/** Ends early with the run, so that what is done is undone in time. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => {});
}

async function pauseWorker(worker: Worker, ms: number, signal: AbortSignal): Promise<string> {
  worker.pause();
  await wait(ms, signal);
  worker.resume();
  return `${worker.name} stood still for ${ms} ms`;
}

/** What it has on its disk is looked through first; on a busy machine that outlasts what a start may take. */
async function startAgain(server: OwnServer): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await server.start();
      return;
    } catch (error) {
      if (tries === startTriesMax) throw error;
    }
  }
}

const always: readonly Trouble[] = [
  {
    weight: 3,
    async begin(victims, random) {
      const worker = pick(random, producers(victims));
      worker.kill();
      return `${worker.name} killed`;
    },
  },
  {
    weight: 4,
    async begin(victims, random) {
      const worker = pick(random, consumers(victims));
      worker.kill();
      return `${worker.name} killed`;
    },
  },
  {
    weight: 2,
    async begin(victims, random) {
      const worker = pick(random, consumers(victims));
      worker.restart();
      return `${worker.name} restarted in good order`;
    },
  },
  {
    weight: 4,
    begin: (victims, random, signal) =>
      pauseWorker(pick(random, consumers(victims)), between(random, pausedMsMin, pausedMsMax), signal),
  },
  {
    weight: 1,
    begin: (victims, random, signal) =>
      pauseWorker(pick(random, producers(victims)), between(random, pausedMsMin, pausedMsMax), signal),
  },
  {
    weight: 3,
    async begin({ killOfShop }, random) {
      return `${killOfShop(random)} killed`;
    },
  },
];

const ofProxies: readonly Trouble[] = [
  {
    weight: 2,
    async begin({ carrier: { proxy } }, random) {
      const how = pick(random, ["reset", "end"] as const);
      proxy?.cut(how);
      return `all connections cut with ${how}`;
    },
  },
  {
    weight: 4,
    async begin({ carrier: { proxy } }, random) {
      const connections = proxy?.connections ?? [];
      if (connections.length === 0) return "no connection to cut";
      const how = pick(random, ["reset", "end"] as const);
      // Behind some bytes more, wherever in a frame that is.
      const lane = { cutAfterBytes: 0 };
      const connection = pick(random, connections);
      if (random.below(2) === 0) connection.cut(how);
      else connection.set(pick(random, [{ toTarget: lane }, { toClient: lane }]));
      return `one of ${connections.length} connections cut with ${how}`;
    },
  },
  {
    weight: 2,
    async begin({ carrier: { proxy } }, random, signal) {
      const ms = between(random, pausedMsMin, silentMsMax);
      const direction = pick(random, ["both", "toTarget", "toClient"] as const);
      const stopped = { isStopped: true };
      if (direction === "both") proxy?.blackHole();
      else proxy?.set({ [direction]: stopped });
      await wait(ms, signal);
      proxy?.heal();
      return `the network was silent (${direction}) for ${ms} ms`;
    },
  },
];

const ofServers: readonly Trouble[] = [
  {
    weight: 3,
    async begin({ carrier: { server } }, random, signal) {
      const ms = between(random, 0, downMsMax);
      await server?.kill();
      await wait(ms, signal);
      if (server !== undefined) await startAgain(server);
      return `the broker was killed and started again after ${ms} ms`;
    },
  },
  {
    weight: 3,
    async begin({ carrier: { server } }, random, signal) {
      const ms = between(random, pausedMsMin, silentMsMax);
      server?.pause();
      await wait(ms, signal);
      server?.resume();
      return `the broker stood still for ${ms} ms`;
    },
  },
];

/** Seeded trouble: what is done to whom and when; what comes of it is up to the machine. */
export class Chaos {
  readonly #victims: Victims;
  readonly #random: Random;
  readonly #tell: (what: string) => void;
  readonly #isOver = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #fail: (error: unknown) => void = () => {};
  /** Rejects when something could not be done or undone. */
  readonly failed = new Promise<never>((_resolve, reject) => {
    this.#fail = reject;
  });
  #isServerTroubled = false;
  /** When the last trouble of the broker itself was over. */
  #serverWellMs = performance.now();
  #running: Promise<void> = Promise.resolve();
  /** Troubles so far. */
  count = 0;

  constructor(victims: Victims, random: Random, tell: (what: string) => void) {
    this.#victims = victims;
    this.#random = random;
    this.#tell = tell;
  }

  start(): void {
    this.failed.catch(() => this.#isOver.abort());
    this.#running = this.#run();
  }

  /** Resolves when everything is healed. @throws what went wrong in doing or undoing */
  async stop(): Promise<void> {
    this.#isOver.abort();
    await this.#running;
    await Promise.all(this.#underWay);
  }

  async #run(): Promise<void> {
    const { signal } = this.#isOver;
    const { proxy, server } = this.#victims.carrier;
    while (!signal.aborted) {
      await wait(between(this.#random, everyMsMin, everyMsMax), signal);
      if (signal.aborted) return;
      // One at a time of those that would undo each other.
      const isWell = !this.#isServerTroubled && performance.now() - this.#serverWellMs > serverEveryMs;
      const isFree = server !== undefined && isWell;
      const trouble = this.#choose([...always, ...(proxy ? ofProxies : []), ...(isFree ? ofServers : [])]);
      const isOfServer = ofServers.includes(trouble);
      if (isOfServer) this.#isServerTroubled = true;
      this.count++;
      const doing = trouble.begin(this.#victims, this.#random, signal).then(what => {
        this.#underWay.delete(doing);
        if (isOfServer) {
          this.#isServerTroubled = false;
          this.#serverWellMs = performance.now();
        }
        this.#tell(what);
      });
      this.#underWay.add(doing);
      doing.catch((error: unknown) => this.#fail(error));
    }
  }

  #choose(troubles: readonly Trouble[]): Trouble {
    let left = this.#random.below(troubles.reduce((sum, { weight }) => sum + weight, 0));
    return troubles.find(({ weight }) => {
      left -= weight;
      return left < 0;
    }) as Trouble;
  }
}
