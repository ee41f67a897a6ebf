import type { ObservedEvent } from "../../platform/index.ts";

/** A connection is over. */
export interface Http2ConnectionClosed extends ObservedEvent {
  readonly type: "http2.connection.closed";
  readonly role: "server" | "client";
  readonly remoteAddress: string;
  /** The error code we ended it with, 0 for an orderly end. */
  readonly code: number;
  /** The limit's token, what was wrong, or `""`. */
  readonly token: string;
  readonly error: Error | undefined;
}

/** A limit ended one stream, not the connection. */
export interface Http2StreamLimited extends ObservedEvent {
  readonly type: "http2.stream.limited";
  readonly token: string;
  readonly streamId: number;
}

/** A callback of the layer above threw; the connection was ended with INTERNAL_ERROR. */
export interface Http2CallbackFailed extends ObservedEvent {
  readonly type: "http2.callback.failed";
  readonly error: unknown;
}
