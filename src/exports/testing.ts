/** `trunkline/testing`: virtual time and networks inside the process, for tests of services. */
export { byteStreamPair, VirtualClock, VirtualNetwork, virtualPlatform } from "../platform/virtual/index.ts";
export { memoryPlatform } from "../wire/transport/index.ts";
