/**
 * The machine itself: Node's clock behind one timer wheel, its random sources, its sockets and TLS. The only code that
 * touches them. Imports only what is beside this folder. Start at `network.ts`; `timer-wheel.ts` stands alone.
 */
import type { Platform } from "../platform.ts";
import { systemClock } from "./clock.ts";
import { watchFile } from "./file-watch.ts";
import { systemNetwork } from "./network.ts";
import { systemRandom } from "./random.ts";

export { cryptoModule } from "./crypto-module.ts";
export { isWorkerProcess, joinPrimary, type WorkerAddress, WorkerCrew, type WorkerEnded } from "./workers.ts";

/** The default platform of everything. */
export const systemPlatform: Platform = { clock: systemClock, random: systemRandom, network: systemNetwork, watchFile };
