import { type Channel, createChannel } from "trunkline";
import { portOf } from "./services.ts";

const ways = ["static", "dns", "k8s"] as const;

/** How order-service finds the instances of customer-service. */
export type Discovery = (typeof ways)[number];

/** What of the environment says where customer-service is. */
export interface DiscoveryEnvironment {
  /** `static` when it is not set. */
  readonly DISCOVERY?: string | undefined;
  /** What stands behind `static:///`, `dns:///` or `k8s:///`, where that is not the shop's own. */
  readonly CUSTOMER_ADDRESS?: string | undefined;
  /** The pod's own, from the downward API. */
  readonly POD_NAMESPACE?: string | undefined;
  /** Set by the supervisor that runs the instances: the list that it keeps of them. */
  readonly CUSTOMER_INSTANCES?: string | undefined;
}

/** Reads `DISCOVERY`. @throws TypeError naming it and what it may be */
export function parseDiscovery(text: string | undefined): Discovery {
  const way = text === undefined || text === "" ? "static" : ways.find(candidate => candidate === text);
  if (way !== undefined) return way;
  throw new TypeError(`DISCOVERY "${text}" is not one of ${ways.join(", ")}`);
}

/**
 * The target by which order-service calls customer-service:
 *
 * - `static`: the supervisor's list of instances; of a service on its own, the first instance's port
 * - `dns`: the addresses of `localhost`, all on the first instance's port
 * - `k8s`: the ready pods of the Service `customer-service` in the pod's namespace, on the port named `grpc`
 *
 * @throws TypeError for a way that there is not
 */
export function customerTarget(environment: DiscoveryEnvironment, offset: number): string {
  const { CUSTOMER_ADDRESS: address, CUSTOMER_INSTANCES: list, POD_NAMESPACE: namespace } = environment;
  const isGiven = address !== undefined && address !== "";
  const port = portOf("customer-service", offset);
  const way = parseDiscovery(environment.DISCOVERY);
  switch (way) {
    case "static":
      if (isGiven) return `static:///${address}`;
      return list === undefined || list === "" ? `static:///127.0.0.1:${port}` : list;
    case "dns":
      return `dns:///${isGiven ? address : `localhost:${port}`}`;
    case "k8s": {
      const within = namespace === undefined || namespace === "" ? "" : `.${namespace}`;
      return `k8s:///${isGiven ? address : `customer-service${within}:grpc`}`;
    }
  }
}

/** A channel to customer-service that asks nobody before its first call. @throws TypeError for a target that cannot be */
export function customerChannel(environment: DiscoveryEnvironment, offset: number): Channel {
  return createChannel(customerTarget(environment, offset));
}
