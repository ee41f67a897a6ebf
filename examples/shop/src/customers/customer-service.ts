import { type Handlers, RpcError } from "trunkline";
import type { CustomerService } from "../gen/customer/customer_pb.ts";

interface CustomerRecord {
  readonly id: string;
  readonly name: string;
  readonly email: string;
}

const knownCustomers: readonly CustomerRecord[] = [
  { id: "customer-123", name: "Ada Byrne", email: "ada@example.com" },
  { id: "customer-456", name: "Grace Okafor", email: "grace@example.com" },
  { id: "customer-789", name: "Linus Ferreira", email: "linus@example.com" },
];

/** Customers are read only here, so they live in memory. */
export function customerHandlers(
  customers: readonly CustomerRecord[] = knownCustomers,
): Handlers<typeof CustomerService> {
  const byId = new Map(customers.map(customer => [customer.id, customer]));
  return {
    getCustomer({ id }) {
      const customer = byId.get(id);
      if (customer === undefined) throw new RpcError("not_found", `customer "${id}" does not exist`);
      return customer;
    },
    listCustomers() {
      return { customers: [...customers] };
    },
  };
}
