/** An EndpointSlice (discovery.k8s.io/v1) as far as discovery needs it. */
export interface EndpointSlice {
  readonly name: string;
  readonly resourceVersion: string;
  readonly addressType: "IPv4" | "IPv6" | "FQDN";
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SlicePort {
  /** Empty for the only port of a Service. */
  readonly name: string;
  readonly port: number;
}

export interface SliceEndpoint {
  readonly address: string;
  readonly state: EndpointState;
  readonly zone: string | undefined;
  readonly nodeName: string | undefined;
  /** Zones whose clients should use it; `undefined`: no hints. */
  readonly zoneHints: readonly string[] | undefined;
  readonly pod: { readonly name: string; readonly uid: string } | undefined;
}

/** `terminating`: on its way out and still serving. `unusable`: everything else that is not ready. */
export type EndpointState = "ready" | "terminating" | "unusable";

/** An object of the API that is not what it should be. */
export class MalformedObject extends Error {
  override readonly name = "MalformedObject";
}

type Json = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws MalformedObject naming the member; single endpoints that cannot be used are left out */
export function parseEndpointSlice(value: unknown): EndpointSlice {
  if (!isJsonObject(value)) throw new MalformedObject("an EndpointSlice that is no object");
  const { name, resourceVersion } = metadataOf(value);
  const { addressType } = value;
  if (addressType !== "IPv4" && addressType !== "IPv6" && addressType !== "FQDN") {
    throw new MalformedObject(`EndpointSlice ${name}: addressType is ${JSON.stringify(addressType)}`);
  }
  // Go writes an empty list as null.
  const ports = list(value.ports, `EndpointSlice ${name}: ports`).flatMap(parsePort);
  const endpoints = list(value.endpoints, `EndpointSlice ${name}: endpoints`).flatMap(parseEndpoint);
  return { name, resourceVersion, addressType, ports, endpoints };
}

/** Name and version of any object. @throws MalformedObject */
export function metadataOf(value: Json): { readonly name: string; readonly resourceVersion: string } {
  const metadata = isJsonObject(value.metadata) ? value.metadata : {};
  const { name = "", resourceVersion } = metadata;
  if (typeof name !== "string" || name.length > 253) throw new MalformedObject("metadata.name is no name");
  if (typeof resourceVersion !== "string" || resourceVersion === "" || resourceVersion.length > 256) {
    throw new MalformedObject(`${name}: metadata.resourceVersion is ${JSON.stringify(resourceVersion)?.slice(0, 100)}`);
  }
  return { name, resourceVersion };
}

function list(value: unknown, what: string): readonly unknown[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw new MalformedObject(`${what} is no list`);
  return value;
}

function parsePort(value: unknown): readonly SlicePort[] {
  if (!isJsonObject(value)) return [];
  const { name, port } = value;
  // Without a number it means every port, which nobody can connect to.
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) return [];
  return [{ name: typeof name === "string" ? name : "", port }];
}

function parseEndpoint(value: unknown): readonly SliceEndpoint[] {
  if (!isJsonObject(value)) return [];
  // Addresses after the first have no meaning (API reference of Endpoint.addresses).
  const address = Array.isArray(value.addresses) ? (value.addresses[0] as unknown) : undefined;
  if (typeof address !== "string" || !/^[0-9A-Za-z.:_-]{1,253}$/.test(address)) return [];
  const hints = isJsonObject(value.hints) && Array.isArray(value.hints.forZones) ? value.hints.forZones : undefined;
  const zoneHints = hints?.flatMap((one: unknown) =>
    isJsonObject(one) && typeof one.name === "string" ? [one.name] : [],
  );
  const reference = isJsonObject(value.targetRef) ? value.targetRef : {};
  return [
    {
      address,
      state: stateOf(isJsonObject(value.conditions) ? value.conditions : {}),
      zone: text(value.zone),
      nodeName: text(value.nodeName),
      zoneHints: zoneHints === undefined || zoneHints.length === 0 ? undefined : zoneHints,
      pod: typeof reference.uid === "string" ? { name: text(reference.name) ?? "", uid: reference.uid } : undefined,
    },
  ];
}

/** An absent `ready` means ready; an absent `serving` follows `ready`. */
function stateOf({ ready, serving, terminating }: Json): EndpointState {
  if (ready !== false) return "ready";
  return serving === true && terminating === true ? "terminating" : "unusable";
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
