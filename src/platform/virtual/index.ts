/**
 * A machine inside the process, for tests, simulations and the in-memory transport: time that moves when it is told to,
 * seeded randomness, a network without sockets. Imports only what is beside this folder. Start at `virtualPlatform`.
 */
import type { Platform } from "../platform.ts";
import type { LinkConditions } from "./byte-stream.ts";
import { VirtualClock } from "./clock.ts";
import { VirtualNetwork } from "./network.ts";
import { SeededRandom } from "./random.ts";

export { type ByteStreamPair, byteStreamPair, type LinkConditions, VirtualByteStream } from "./byte-stream.ts";
export { VirtualClock } from "./clock.ts";
export { VirtualDns } from "./dns.ts";
export { VirtualNetwork } from "./network.ts";
export { SeededRandom } from "./random.ts";

export interface VirtualPlatform extends Platform {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly network: VirtualNetwork;
}

export interface VirtualPlatformOptions {
  /** @default 1 */
  readonly seed?: number | undefined;
  /** Of connections. @default no delay */
  readonly link?: Partial<LinkConditions> | undefined;
}

/** A platform of its own, equal for equal seeds. */
export function virtualPlatform(options: VirtualPlatformOptions = {}): VirtualPlatform {
  const clock = new VirtualClock();
  return { clock, random: new SeededRandom(options.seed ?? 1), network: new VirtualNetwork(clock, options.link) };
}
