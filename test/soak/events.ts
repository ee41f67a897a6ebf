import { createWriteStream, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { History } from "../../src/exports/broker-conformance.ts";
import { connectBroker } from "../../src/exports/events.ts";
import { SeededRandom } from "../../src/platform/virtual/random.ts";
import { type Carrier, type CarrierName, startCarrier } from "./carrier.ts";
import { Chaos } from "./chaos.ts";
import { JournalReader } from "./journal.ts";
import { SoakedShop } from "./shop.ts";
import { Worker } from "./workers.ts";

export interface SoakOptions {
  readonly broker: CarrierName;
  readonly minutes: number;
  readonly seed: number;
  /** Of the shop's ports. */
  readonly offset: number;
  readonly tell: (line: string) => void;
  /** Adds what has to be ended however the run ends. */
  readonly atExit: (end: () => void) => void;
}

const producers = ["north", "south"];
const keys = 40;
const perSecond = 30;
const ordersPerSecond = 6;
const topic = "soak";
const progressMs = 10_000;
const readMs = 500;
/** Nothing moves any more. */
const stillMs = 60_000;
/** For a producer or consumer that is asked to end; a drain alone may take 25 s. */
const endMsMax = 90_000;
const readyMsMax = 60_000;
/** Of each kind of complaint. */
const examplesMax = 10;

/** Everything that one run works with, and what it has seen. */
class SoakRun {
  readonly #options: SoakOptions;
  readonly #folder: string;
  readonly #carrier: Carrier;
  readonly #history: History;
  readonly #readers: readonly JournalReader[];
  readonly #workers: readonly Worker[];
  readonly #shop: SoakedShop;
  readonly #chaos: Chaos;
  readonly #complaints: string[] = [];
  readonly #beganMs = performance.now();

  constructor(options: SoakOptions, folder: string, carrier: Carrier) {
    this.#options = options;
    this.#folder = folder;
    this.#carrier = carrier;
    this.#history = new History(carrier.groups.map(({ name }) => name));
    const log = openSync(join(folder, "workers.log"), "a");
    const { url } = carrier;
    const produced = (producer: string) => join(folder, `${producer}.journal`);
    const consumed = (group: string) => join(folder, `group-${group}.journal`);
    this.#workers = [
      ...carrier.groups.flatMap(group =>
        Array.from({ length: group.members }, (_, index) => {
          const journal = consumed(group.name);
          return new Worker(`${group.name}/${index + 1}`, { role: "consumer", url, topic, journal, group }, log);
        }),
      ),
      ...producers.map(producer => {
        const journal = produced(producer);
        return new Worker(producer, { role: "producer", url, topic, journal, producer, keys, perSecond }, log);
      }),
    ];
    this.#readers = [...producers.map(produced), ...carrier.groups.map(({ name }) => consumed(name))].map(
      path => new JournalReader(path),
    );
    const random = new SeededRandom(options.seed);
    const shopLog = createWriteStream(join(folder, "shop.log"));
    this.#shop = new SoakedShop(url, options.offset, new SeededRandom(options.seed + 1), shopLog);
    const shop = this.#shop;
    const chaosLog = createWriteStream(join(folder, "chaos.log"));
    this.#chaos = new Chaos(
      { carrier, workers: this.#workers, killOfShop: chance => shop.killOne(chance) },
      random,
      what => chaosLog.write(`${new Date().toISOString()} ${what}\n`),
    );
    options.atExit(() => {
      for (const worker of this.#workers) worker.abandon();
      shop.kill();
    });
  }

  async run(): Promise<boolean> {
    const progress = setInterval(() => this.#tellProgress(), progressMs);
    const reading = setInterval(() => this.#read(), readMs);
    try {
      await this.#start();
      await Promise.race([pause(this.#options.minutes * 60_000), this.#chaos.failed]);
      await this.#end();
    } finally {
      clearInterval(progress);
      clearInterval(reading);
    }
    return this.#report();
  }

  #ofRole(role: Worker["role"]): readonly Worker[] {
    return this.#workers.filter(worker => worker.role === role);
  }

  async #start(): Promise<void> {
    // Groups first: an event that is published before there is a queue for it is nobody's.
    const consumers = this.#ofRole("consumer");
    for (const worker of consumers) worker.start();
    const untilMs = performance.now() + readyMsMax;
    while (!consumers.every(({ isReady }) => isReady)) {
      if (performance.now() > untilMs) throw new Error(`the consumers are not ready within ${readyMsMax} ms`);
      await pause(100);
    }
    await this.#shop.start();
    for (const worker of this.#ofRole("producer")) worker.start();
    this.#shop.order(ordersPerSecond);
    this.#chaos.start();
  }

  /** Heals everything, then waits until all that was begun has come to its end. */
  async #end(): Promise<void> {
    const { tell } = this.#options;
    await this.#chaos.stop();
    this.#carrier.proxy?.heal();
    tell("healed; waiting for what is under way");
    const [areAnswered] = await Promise.all([
      this.#shop.stopOrdering(endMsMax),
      ...this.#ofRole("producer").map(worker => this.#stop(worker)),
    ]);
    if (!areAnswered) this.#complaints.push(`some requests to the shop are not answered ${endMsMax} ms after the end`);
    await this.#untilHandled();
    for (const wrong of await this.#shop.settled(stillMs)) this.#complaints.push(`shop: ${wrong}`);
    await Promise.all(this.#ofRole("consumer").map(worker => this.#stop(worker)));
    this.#read();
    await this.#lookForDeadLetters();
    await this.#shop.stop();
  }

  async #stop(worker: Worker): Promise<void> {
    if (await worker.stop(endMsMax)) return;
    this.#complaints.push(`${worker.name} did not end within ${endMsMax} ms`);
  }

  async #untilHandled(): Promise<void> {
    let deliveries = -1;
    for (let sinceMs = performance.now(); performance.now() - sinceMs < stillMs; await pause(readMs)) {
      this.#read();
      if (this.#carrier.groups.every(({ name }) => this.#history.outstanding(name) === 0)) return;
      if (this.#history.deliveries !== deliveries) sinceMs = performance.now();
      ({ deliveries } = this.#history);
    }
  }

  async #lookForDeadLetters(): Promise<void> {
    const broker = await connectBroker(this.#carrier.url);
    let count = 0;
    for await (const { group, reason, exception, place } of broker.deadLetters()) {
      count++;
      if (count <= examplesMax)
        this.#complaints.push(`dead letter of ${group}: ${place}: ${reason} ${exception ?? ""}`);
    }
    if (count > examplesMax) this.#complaints.push(`${count} dead letters`);
    await broker.close();
  }

  #read(): void {
    for (const reader of this.#readers) {
      for (const entry of reader.entries()) this.#history.add(entry);
    }
  }

  #tellProgress(): void {
    const { attempted, confirmed, failed, deliveries } = this.#history;
    const seconds = Math.round((performance.now() - this.#beganMs) / 1_000);
    this.#options.tell(
      `${seconds} s: ${attempted} published, ${confirmed} confirmed, ${failed} failed, ${deliveries} deliveries, ` +
        `${this.#shop.placed} orders, ${this.#chaos.count} troubles`,
    );
  }

  #report(): boolean {
    const { tell } = this.#options;
    const total = { lost: 0, reordered: 0, phantom: 0, duplicates: 0 };
    for (const { name, keepsOrder } of this.#carrier.groups) {
      const verdict = this.#history.judge(name);
      const { lost, phantom, reordered, duplicates } = verdict;
      tell(
        `group ${name}: lost ${lost.length}, reordered ${reordered.length}${keepsOrder ? "" : " (no order promised)"}, ` +
          `phantom ${phantom.length}, duplicates ${duplicates}`,
      );
      total.lost += lost.length;
      total.phantom += phantom.length;
      total.duplicates += duplicates;
      if (keepsOrder) total.reordered += reordered.length;
      for (const kind of ["lost", "phantom", ...(keepsOrder ? (["reordered"] as const) : [])] as const) {
        const ids = verdict[kind].slice(0, examplesMax).map(({ id, key }) => `${id} of ${key}`);
        if (ids.length > 0) this.#complaints.push(`${kind} for ${name}: ${ids.join(", ")}`);
      }
    }
    const { attempted, confirmed, failed, deliveries } = this.#history;
    const failures = this.#workers.reduce((sum, worker) => sum + worker.failures, 0);
    tell(`${attempted} published, ${confirmed} confirmed, ${failed} failed, ${deliveries} deliveries`);
    tell(`${this.#chaos.count} troubles; ${failures} processes ended by themselves`);
    tell(`shop: ${this.#shop.placed} orders, ${this.#shop.repeats} requests repeated, ${this.#shop.restarts} restarts`);
    if (confirmed === 0 || this.#shop.placed === 0) this.#complaints.push("nothing was confirmed or ordered");
    const isClean = this.#complaints.length === 0;
    for (const complaint of this.#complaints) tell(complaint);
    if (isClean) {
      rmSync(this.#folder, { recursive: true, force: true });
      rmSync(this.#shop.folder, { recursive: true, force: true });
    } else {
      tell(`histories and logs: ${this.#folder}; the shop's data: ${this.#shop.folder}`);
    }
    const { lost, reordered, phantom, duplicates } = total;
    tell(`lost ${lost}, reordered ${reordered}, phantom ${phantom}, duplicates ${duplicates}`);
    const isConserved = !this.#complaints.some(complaint => complaint.startsWith("shop:"));
    tell(isConserved ? "stock conserved" : "the shop is not as it should be");
    return isClean;
  }
}

/** Resolves with whether everything was as promised. */
export async function soakEvents(options: SoakOptions): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), `trunkline-soak-${options.broker}-`));
  await using carrier = await startCarrier(options.broker, folder);
  options.tell(`soak of ${options.broker}, ${options.minutes} minutes, seed ${options.seed}; logs in ${folder}`);
  return await new SoakRun(options, folder, carrier).run();
}
