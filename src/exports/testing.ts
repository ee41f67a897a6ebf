/** `trunkline/testing`: virtual time and networks inside the process, for tests of services; scenarios of process managers. */
export {
  type Expectation,
  type ExpectedEvent,
  given,
  published,
  type Scenario,
} from "../events/process-manager/index.ts";
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
