import { type Call, type Client, type Handlers, isRpcError, operationId, RpcError } from "trunkline";
import type { Customer, CustomerService } from "../gen/customer/customer_pb.ts";
import { type OrderService, OrderStatus } from "../gen/order/order_pb.ts";
import type { NewOrder, OrderRecord, OrderStore } from "./order-store.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { trackOrders } from "./track-orders.ts";

/**
 * An order without its customer is worth more than a late one. All attempts together; what an instance that hangs may take of it
 * is in the contract.
 */
const customerTimeoutMs = 200;
const pageSizeDefault = 50;
/** Orders of one import: they are held until all have come. */
const importMax = 10_000;
/** How many orders a stream reads from the store at a time. */
const streamBatch = 100;

export interface OrderServiceOptions {
  readonly store: OrderStore;
  readonly customers: Pick<Client<typeof CustomerService>, "getCustomer">;
}

export function orderHandlers({ store, customers }: OrderServiceOptions): Handlers<typeof OrderService> {
  return {
    async getOrder({ orderId }, call) {
      const order = store.get(orderId);
      if (order === undefined) throw new RpcError("not_found", `order "${orderId}" does not exist`);
      const customer = await findCustomer(customers, order.customerId, call);
      return customer === undefined ? messageOf(order) : { ...messageOf(order), customer };
    },

    async createOrder(request) {
      // A request that is run again after a crash finds the order that its first run stored.
      return messageOf(await store.create(request.customerId, request.items, operationId()));
    },

    listOrders({ pageSize = pageSizeDefault, pageToken }) {
      // One more than the page holds tells whether there is a next one.
      const orders = store.listNewest(pageSize + 1, decodePageToken(pageToken));
      const page = orders.slice(0, pageSize);
      const last = page.at(-1);
      const hasMore = orders.length > pageSize && last !== undefined;
      return { orders: page.map(messageOf), nextPageToken: hasMore ? encodePageToken(last) : "" };
    },

    async *streamOrders({ customerId, status, follow }, { signal }) {
      // Orders are read from the store as the caller takes them, so a slow caller costs no memory.
      let sequence = 0;
      while (!signal.aborted) {
        const orders = store.listAfter(sequence, streamBatch);
        for (const order of orders) {
          sequence = order.sequence;
          const isWanted =
            (customerId === "" || order.customerId === customerId) &&
            (status === OrderStatus.UNSPECIFIED || order.status === status);
          if (isWanted) yield messageOf(order);
        }
        if (orders.length === streamBatch) continue;
        if (!follow) return;
        // Nothing was stored since the orders were read only when the last one is still the newest.
        if (store.listAfter(sequence, 1).length === 0) await store.nextAdded(signal);
      }
    },

    async cancelOrder({ orderId }) {
      const order = await store.cancel(orderId);
      if (order === undefined) throw new RpcError("not_found", `order "${orderId}" does not exist`);
      if (order.status === OrderStatus.SHIPPED) {
        throw new RpcError("failed_precondition", `order "${orderId}" is shipped`);
      }
      return messageOf(order);
    },

    async importOrders(requests) {
      const orders: NewOrder[] = [];
      for await (const request of requests) {
        if (orders.length === importMax) {
          throw new RpcError("resource_exhausted", `one import takes at most ${importMax} orders`);
        }
        orders.push(request);
      }
      const stored = await store.createAll(orders);
      return { imported: stored.length, orderIds: stored.map(({ id }) => id) };
    },

    trackOrders: (requests, { signal }) => trackOrders(store, requests, signal),
  };
}

/** The customer of an order; `undefined` when it does not exist or, with a header that says so, cannot be asked for. */
async function findCustomer(
  customers: OrderServiceOptions["customers"],
  id: string,
  call: Call,
): Promise<Customer | undefined> {
  try {
    return await customers.getCustomer({ id }, { timeoutMs: customerTimeoutMs, signal: call.signal });
  } catch (error) {
    if (!isRpcError(error)) throw error;
    if (!isRpcError(error, "not_found")) call.responseHeaders.set("x-degraded", "customer");
    return undefined;
  }
}

function messageOf({ id, customerId, items, status, createdAt, total }: OrderRecord) {
  return { id, customerId, items: [...items], status, createdAt, total };
}
