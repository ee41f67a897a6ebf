/** The order that every peer serves; 94 bytes in protobuf's binary encoding. */
export const orderId = "order-123456";

/** Orders per stream: long enough that opening a stream does not count. */
export const ordersPerStream = 20_000;

export const echoBytes = 1 << 20;

export interface PlainOrder {
  orderId: string;
  customerId: string;
  items: { productId: string; quantity: number; price: number }[];
  status: number;
}

/** A fresh object per call, as a handler that answers from a database makes it. Without the 64-bit `createdAt`. */
export function plainOrder(id: string): PlainOrder {
  return {
    orderId: id,
    customerId: "customer-456789",
    items: [
      { productId: "product-1001", quantity: 2, price: 29.99 },
      { productId: "product-1002", quantity: 1, price: 49.5 },
    ],
    status: 2,
  };
}

/** Milliseconds; protobuf libraries want it as bigint, string or number. */
export const createdAtMs = 1_760_000_000_000;

export function checkOrder(order: { orderId?: unknown; items?: readonly unknown[] | null } | undefined): void {
  if (order?.orderId !== orderId || order.items?.length !== 2) {
    throw new Error(
      `not the order that was asked for: ${JSON.stringify(order, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`,
    );
  }
}

export function checkEcho(payload: Uint8Array | undefined): void {
  if (payload?.length !== echoBytes || payload[echoBytes - 1] !== 7) throw new Error("the echo is not what was sent");
}

export function echoPayload(): Buffer {
  return Buffer.alloc(echoBytes, 7);
}
