/** `trunkline/testing`: virtual time and networks inside the process, for tests of services. */
export {
  type ByteStreamPair,
  byteStreamPair,
  type LinkConditions,
  SeededRandom,
  VirtualClock,
  VirtualNetwork,
  type VirtualPlatform,
  type VirtualPlatformOptions,
  virtualPlatform,
} from "../platform/virtual/index.ts";
export { memoryPlatform } from "../wire/transport/index.ts";
