import { RpcError } from "trunkline";
import type { OrderStatus, TrackRequest } from "../gen/order/order_pb.ts";
import type { OrderStore } from "./order-store.ts";

/** Orders that one caller may watch. */
const subscriptionsMax = 1000;

interface Change {
  readonly orderId: string;
  readonly status: OrderStatus;
}

/**
 * The status of each subscribed order, to begin with and after each change. Of an order that changes faster than the caller
 * reads, only the newest status waits. Ends when the caller has said all and follows nothing any more.
 */
export async function* trackOrders(
  store: OrderStore,
  requests: AsyncIterable<TrackRequest>,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  const subscribed = new Set<string>();
  const waiting = new Map<string, Change>();
  let wake: () => void = () => {};
  let isOpen = true;
  let failure: unknown;

  const offChanged = store.onChanged(({ id, status }) => {
    if (!subscribed.has(id)) return;
    waiting.set(id, { orderId: id, status });
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);

  const read = async (): Promise<void> => {
    for await (const { action } of requests) {
      if (action.case === "unsubscribe") {
        subscribed.delete(action.value);
        waiting.delete(action.value);
      } else if (action.case === "subscribe") {
        const order = store.get(action.value);
        if (order === undefined) throw new RpcError("not_found", `order "${action.value}" does not exist`);
        if (subscribed.size >= subscriptionsMax) {
          throw new RpcError("resource_exhausted", `one caller tracks at most ${subscriptionsMax} orders`);
        }
        subscribed.add(order.id);
        waiting.set(order.id, { orderId: order.id, status: order.status });
      }
      wake();
    }
  };
  void read()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      isOpen = false;
      wake();
    });

  try {
    for (;;) {
      for (const [id, change] of waiting) {
        waiting.delete(id);
        yield change;
      }
      if (failure !== undefined) throw failure;
      if (signal.aborted || (!isOpen && subscribed.size === 0)) return;
      if (waiting.size > 0) continue;
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    }
  } finally {
    offChanged();
    signal.removeEventListener("abort", onAbort);
  }
}
