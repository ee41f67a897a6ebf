/**
 * Target → endpoint → connection: the way of every outgoing request. May import `discovery`, `wire`, `platform`, `contract`,
 * `errors`. Start at `channel.ts`; which endpoint a call takes is up to the `Picker` of `picker.ts`. Plain HTTP services
 * are called through `discover.ts`.
 */
export { Channel, type ChannelOptions, type ClientProtocol, createChannel } from "./channel.ts";
export { DiscoveredService, type DiscoverOptions, discover, type FetchInit, type PolicyRunner } from "./discover.ts";
export type { Endpoint, EndpointView } from "./endpoint.ts";
export { type FetchBytesOptions, type FetchedBytes, fetchBytes } from "./fetch-bytes.ts";
export { transparentRetries } from "./limits.ts";
export type { CallOutcome, PickedCall, Picker } from "./picker.ts";
export { type ResolveOptions, resolve } from "./resolve.ts";
