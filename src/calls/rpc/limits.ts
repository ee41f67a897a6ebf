/** Limits of calls; each can be set per server or client. */
export interface RpcLimits {
  /** Largest message in bytes, in both directions, also after decompression. @default 4 MiB, as gRPC */
  readonly messageBytesMax: number;
  /** Deadline of a unary call that comes without one, in milliseconds. @default 30,000 */
  readonly defaultTimeoutMs: number;
  /** Longest deadline that a server grants a unary call, in milliseconds. @default 300,000 */
  readonly timeoutMsMax: number;
}

export const rpcLimits: RpcLimits = {
  messageBytesMax: 4 * 1024 * 1024,
  defaultTimeoutMs: 30_000,
  timeoutMsMax: 300_000,
};
