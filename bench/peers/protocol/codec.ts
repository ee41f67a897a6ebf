/** What a codec peer exports as `codec`: each function does one encoding and one decoding of the order. */
export interface CodecPeer {
  readonly "codec-binary": () => CodecOrder;
  readonly "codec-json": () => CodecOrder;
}

/** What came back, for the check that work was done. */
export interface CodecOrder {
  readonly orderId?: unknown;
  readonly items?: readonly unknown[] | null;
}
