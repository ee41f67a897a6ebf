/** The services of the shop and where each of them listens. */
export const services = [
  { name: "order-service", port: 50_051, contract: "order.OrderService" },
  { name: "customer-service", port: 50_052, contract: "customer.CustomerService" },
] as const;

export type ServiceName = (typeof services)[number]["name"];

export function isServiceName(name: string | undefined): name is ServiceName {
  return services.some(service => service.name === name);
}

/** The port of a service, moved by the offset that lets several shops run on one machine. */
export function portOf(name: ServiceName, offset: number): number {
  const service = services.find(candidate => candidate.name === name);
  if (service === undefined) throw new TypeError(`no service is called ${name}`);
  return service.port + offset;
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
