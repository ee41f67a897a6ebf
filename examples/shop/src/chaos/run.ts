import { systemPlatform } from "trunkline";
import { SeededRandom } from "trunkline/testing";
import { readTally } from "../processes/request-tally.ts";
import type { ServiceProcess } from "../processes/service-process.ts";
import { portOf } from "../processes/services.ts";
import type { Supervisor } from "../processes/supervisor.ts";
import { figuresOf, type Phase, type PhaseKind, type Target, targetsOfOutage, targetsOfTrouble } from "./figures.ts";
import { Load } from "./load.ts";

const { clock } = systemPlatform;

const readsPerSecond = 500;
/** Of what the rate would give: a machine that cannot keep it up measures itself. */
const readsShareMin = 2 / 3;
const troubles = ["kill", "pause", "restart"] as const;
/** One instance's trouble and its recovery. */
const slotMs = 3_000;
/** Of a slot, how long a paused instance is still. */
const pausedShare = 0.4;
/** Of the whole, before anything happens. */
const steadyShare = 0.1;
/** A process that was ended is back by then, even on a machine with much else to do. */
const recoveryMaxMs = 20_000;
const outageSettledMaxMs = 5_000;
/** Reads before the first that count: services that have just started are slow for reasons of their own. */
const warmUpMs = 1_000;

export interface ChaosOptions {
  readonly supervisor: Supervisor;
  readonly offset: number;
  readonly host: string;
  /** Where the instances count their requests. */
  readonly tallyFolder: string;
  /** How long instances come and go one at a time; both outages take as long again as a third each. */
  readonly seconds: number;
  readonly seed: number;
  /** Hears what happens now. */
  readonly tell: (line: string) => void;
}

export interface ChaosResult {
  readonly seed: number;
  /** One instance at a time. */
  readonly trouble: readonly Phase[];
  /** All instances at once. */
  readonly outage: readonly Phase[];
  readonly targets: readonly Target[];
}

/** Troubles a shop that runs, while orders are read. @throws Error when an instance does not come back */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { supervisor, offset, host, seconds, seed, tell } = options;
  const customers = supervisor.services.filter(({ name }) => name === "customer-service");
  const load = new Load(`${host}:${portOf("order-service", offset)}`, readsPerSecond);
  // Nothing is known of an order-service that has never been asked: its first read finds the instances.
  if ((await load.readOnce()) !== "whole") throw new Error("the shop does not answer with the customer of order 123");

  const trouble: Phase[] = [];
  const outage: Phase[] = [];
  const phase = async (kind: PhaseKind, work: () => Promise<void>) => {
    const restarts = () => customers.reduce((total, service) => total + service.restarts, 0);
    const before = {
      reads: load.reads.length,
      tally: readTally(options.tallyFolder, "customer-service"),
      restarts: restarts(),
    };
    await work();
    const { requests, retries } = readTally(options.tallyFolder, "customer-service");
    return {
      kind,
      // In the order in which they ended: a slow read counts where it hurt.
      reads: load.reads.slice(before.reads),
      tally: { requests: requests - before.tally.requests, retries: retries - before.tally.retries },
      restarts: restarts() - before.restarts,
    };
  };

  const steadyMs = seconds * 1_000 * steadyShare;
  const plan = planOf(seconds * 1_000 - steadyMs, customers, seed);
  load.start();
  await pause(warmUpMs);
  tell(`steady: ${customers.length} instances of customer-service, ${readsPerSecond} reads a second`);
  trouble.push(await phase("steady", () => pause(steadyMs)));
  for (const { kind, service, lengthMs } of plan) {
    tell(`${kind}: instance ${service.instance}, process ${service.pid}`);
    trouble.push(
      await phase(kind, async () => {
        const over = pause(lengthMs);
        await troubleOne(kind, service, lengthMs * pausedShare);
        await over;
        await allReady(customers);
      }),
    );
  }

  const settledMs = Math.min(outageSettledMaxMs, (seconds * 1_000) / 6);
  tell("all paused: nobody answers, all connections stand");
  for (const service of customers) service.signal("SIGSTOP");
  // Reads that began before are answered whole or not at all; they belong to neither.
  await pause(settledMs / 5);
  outage.push(await phase("all paused", () => pause(settledMs * 2)));
  for (const service of customers) service.signal("SIGCONT");
  tell("all stopped: nobody is there");
  await Promise.all(customers.map(service => service.stop()));
  await pause(settledMs / 5);
  outage.push(await phase("all stopped", () => pause(settledMs * 2)));
  await load.stop();

  const readsMin = Math.min(10_000, Math.floor(seconds * readsPerSecond * readsShareMin));
  const targets = [
    ...targetsOfTrouble(figuresOf(trouble), readsMin),
    ...outage.flatMap(one => targetsOfOutage(one, settledMs)),
  ];
  return { seed, trouble, outage, targets };
}

interface Slot {
  readonly kind: (typeof troubles)[number];
  readonly service: ServiceProcess;
  readonly lengthMs: number;
}

/** Each trouble equally often, instances in turns, in an order that the seed decides. */
function planOf(availableMs: number, instances: readonly ServiceProcess[], seed: number): readonly Slot[] {
  const random = new SeededRandom(seed);
  const rounds = Math.max(1, Math.floor(availableMs / slotMs / troubles.length));
  const lengthMs = availableMs / (rounds * troubles.length);
  const first = random.below(instances.length);
  const slots: Slot[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [at, kind] of troubles.entries()) {
      const service = instances[(first + round + at) % instances.length];
      if (service !== undefined) slots.push({ kind, service, lengthMs });
    }
  }
  for (let last = slots.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [slots[last], slots[other]] = [slots[other] as Slot, slots[last] as Slot];
  }
  return slots;
}

async function troubleOne(kind: Slot["kind"], service: ServiceProcess, pausedMs: number): Promise<void> {
  switch (kind) {
    case "kill":
      return ended(service, "SIGKILL");
    case "restart":
      return ended(service, "SIGTERM");
    case "pause":
      service.signal("SIGSTOP");
      await pause(pausedMs);
      service.signal("SIGCONT");
  }
}

/** Resolves when the process is gone. @throws Error when it stays */
async function ended(service: ServiceProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  service.signal(signal);
  await until(() => !service.isReady, `instance ${service.instance} does not end on ${signal}`);
}

function allReady(services: readonly ServiceProcess[]): Promise<void> {
  return until(() => services.every(({ isReady }) => isReady), "an instance does not come back");
}

async function until(isSo: () => boolean, otherwise: string): Promise<void> {
  for (const endMs = clock.now() + recoveryMaxMs; !isSo(); await pause(20)) {
    if (clock.now() > endMs) throw new Error(`${otherwise} within ${recoveryMaxMs} ms`);
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise(resolve => clock.after(delayMs, resolve, true));
}
