import type { ObservedEvent } from "../../platform/index.ts";

/** A request was answered with an error by the connection itself; `reason` is a stable token. */
export interface Http1RequestRefused extends ObservedEvent {
  readonly type: "http1.request.refused";
  readonly status: number;
  readonly reason: string;
  readonly remoteAddress: string;
}

/** A server's answer was not HTTP/1.1; the connection was closed. */
export interface Http1ResponseRefused extends ObservedEvent {
  readonly type: "http1.response.refused";
  readonly reason: string;
  readonly remoteAddress: string;
}
