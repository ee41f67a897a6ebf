/**
 * Target → endpoint → connection: the way of every outgoing request. May import `wire`, `platform`, `contract`, `errors`.
 * Start at `channel.ts`.
 */
export { Channel, type ChannelOptions, type ClientProtocol, createChannel, type Endpoint } from "./channel.ts";
export { type FetchBytesOptions, type FetchedBytes, fetchBytes } from "./fetch-bytes.ts";
