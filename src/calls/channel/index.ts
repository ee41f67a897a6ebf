/**
 * Target → endpoint → connection: the way of every outgoing request. May import `discovery`, `balancing`, `wire`,
 * `resilience`, `platform`, `contract`, `errors`. Start at `channel.ts`; which endpoint a call takes is up to the `Picker` of `picker.ts`. Plain HTTP services
 * are called through `discover.ts`.
 */
export { Channel, type ChannelBalancing, type ChannelOptions, type ClientProtocol, createChannel } from "./channel.ts";
export { DiscoveredService, type DiscoverOptions, discover, type FetchInit, type PolicyRunner } from "./discover.ts";
export type { Endpoint, EndpointView } from "./endpoint.ts";
export { type FetchBytesOptions, type FetchedBytes, fetchBytes } from "./fetch-bytes.ts";
export type { HashBy } from "./hash-by.ts";
export { transparentRetries } from "./limits.ts";
export type { CallOutcome, PickedCall } from "./picker.ts";
export { type ResolveOptions, resolve } from "./resolve.ts";
export type { TargetGuards } from "./target-guards.ts";
