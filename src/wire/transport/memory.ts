import { type Platform, systemPlatform } from "../../platform/index.ts";
import { VirtualNetwork } from "../../platform/virtual/index.ts";

/**
 * A platform whose network exists only in this process, in the time of another one: `listen` and `openPool` on it are
 * joined by real bytes without sockets. Each call makes a network of its own.
 */
export function memoryPlatform(base: Platform = systemPlatform): Platform & { readonly network: VirtualNetwork } {
  return { ...base, network: new VirtualNetwork(base.clock) };
}
