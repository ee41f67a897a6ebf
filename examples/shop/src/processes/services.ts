/** The services of the shop and where each of them listens. */
export const services = [
  // One instance: it alone writes its database, and tells its own streams of what it wrote.
  { name: "order-service", port: 50_051, contract: "order.OrderService", instancesMax: 1 },
  { name: "customer-service", port: 50_052, contract: "customer.CustomerService", instancesMax: 9 },
  // One instance each: it alone writes its database.
  { name: "inventory-service", port: 50_053, contract: "inventory.InventoryService", instancesMax: 1 },
  { name: "notification-service", port: 50_054, contract: "notification.NotificationService", instancesMax: 1 },
  { name: "analytics-service", port: 50_055, contract: "analytics.AnalyticsService", instancesMax: 1 },
] as const;

export type ServiceName = (typeof services)[number]["name"];

/**
 * From one instance of a service to the next. Ports of services end in 51 to 59, so that instances meet no other service and a
 * shop with nine of each stays within 100 ports: shops whose offsets are 100 apart do not meet either.
 */
const instancePortStep = 10;

export function isServiceName(name: string | undefined): name is ServiceName {
  return services.some(service => service.name === name);
}

/** Services by a list that people type: the names, or what stands before `-service`. @throws TypeError naming the option */
export function parseServiceName(text: string, option: string): ServiceName {
  const name = text.trim().replace(/(-service)?$/, "-service");
  if (isServiceName(name)) return name;
  throw new TypeError(`${option}: "${name}" is not one of ${services.map(service => service.name).join(", ")}`);
}

/**
 * The port of an instance of a service, moved by the offset that lets several shops run on one machine.
 * @param instance from 1; the first one has the service's own port
 */
export function portOf(name: ServiceName, offset: number, instance = 1): number {
  const service = services.find(candidate => candidate.name === name);
  if (service === undefined) throw new TypeError(`no service is called ${name}`);
  return service.port + offset + instancePortStep * (instance - 1);
}

/** Reads `PORT_OFFSET`. @throws TypeError when it is not an integer that leaves every port in range */
export function parsePortOffset(text: string | undefined): number {
  const offset = text === undefined || text === "" ? 0 : Number(text);
  const isUsable =
    Number.isInteger(offset) && services.every(({ port }) => port + offset > 0 && port + offset <= 65_535);
  if (!isUsable)
    throw new TypeError(`PORT_OFFSET "${text}" must be an integer that keeps all ports between 1 and 65535`);
  return offset;
}
