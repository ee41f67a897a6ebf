/** One address of a target. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An address with how many groups of the target go before it. */
export interface StaticAddress extends Address {
  readonly priority: number;
}

interface TargetText {
  /** The target as it was given. */
  readonly text: string;
  /** The part that names the service, for messages. */
  readonly service: string;
  /**
   * What requests carry as `:authority` and what certificates are verified against. `undefined`: each endpoint's own
   * address.
   */
  readonly authority: Authority | undefined;
}

export interface Authority {
  readonly host: string;
  /** `undefined` where every endpoint has its own. */
  readonly port: number | undefined;
}

/** A target taken apart; which resolver follows it is in `scheme`. */
export type ParsedTarget = TargetText &
  (
    | { readonly scheme: "static"; readonly addresses: readonly StaticAddress[] }
    | { readonly scheme: "dns"; readonly host: string; readonly port: number; readonly server: string | undefined }
    | { readonly scheme: "dns+srv"; readonly record: string; readonly server: string | undefined }
    | {
        readonly scheme: "k8s";
        readonly name: string;
        readonly namespace: string | undefined;
        readonly port: string | undefined;
      }
    | { readonly scheme: "file"; readonly path: string }
  );

const schemes = "static:///, dns:///, dns+srv:///, k8s:///, file:/// or host:port";

/** Hosts in one `static:///` target; more belong into a file. */
const staticAddressesMax = 1_000;

/**
 * Takes a target apart (gRPC naming):
 *
 * - `host:port`, `dns:///host:port`, `dns://server:53/host:port`
 * - `dns+srv:///_grpc._tcp.name`
 * - `static:///host:port,host:port`, `static:///host:port;standby:port`
 * - `k8s:///service.namespace:port-name`, the namespace and the port may be absent
 * - `file:///path/endpoints.json`
 * @throws TypeError naming the target and what is wrong with it
 */
export function parseTarget(text: string): ParsedTarget {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/]*)\/(.*)$/s.exec(text);
  if (match === null) {
    if (text.includes("://")) {
      throw new TypeError(`target "${text}": after scheme:// there must be a third slash; use ${schemes}`);
    }
    return dnsTarget(text, text, "");
  }
  const [, scheme = "", server = "", rest = ""] = match;
  switch (scheme) {
    case "static":
      refuseServer(text, scheme, server);
      return staticTarget(text, rest);
    case "dns":
      return dnsTarget(text, rest, server);
    case "dns+srv":
      return serviceTarget(text, rest, server);
    case "k8s":
      refuseServer(text, scheme, server);
      return kubernetesTarget(text, rest);
    case "file":
      refuseServer(text, scheme, server);
      return fileTarget(text, rest);
    default:
      throw new TypeError(`target "${text}": the scheme "${scheme}" is not known; use ${schemes}`);
  }
}

function refuseServer(text: string, scheme: string, server: string): void {
  if (server === "") return;
  throw new TypeError(`target "${text}": ${scheme}:// takes no server, found "${server}"; write ${scheme}:///`);
}

function staticTarget(text: string, rest: string): ParsedTarget {
  const addresses = rest
    .split(";")
    .flatMap((group, priority) => group.split(",").map(one => ({ ...parseAddress(one, text), priority })));
  if (addresses.length > staticAddressesMax) {
    throw new TypeError(
      `target "${text.slice(0, 60)}…": ${addresses.length} addresses, at most ${staticAddressesMax}; use file:///`,
    );
  }
  return { text, scheme: "static", service: rest, authority: undefined, addresses };
}

function dnsTarget(text: string, rest: string, server: string): ParsedTarget {
  const { host, port } = parseAddress(rest, text);
  const authority = { host: withoutDot(host), port };
  return { text, scheme: "dns", service: host, authority, host, port, server: parseServer(server, text) };
}

function serviceTarget(text: string, rest: string, server: string): ParsedTarget {
  const match = /^_[A-Za-z0-9-]+\._[A-Za-z0-9-]+\.(.+)$/.exec(rest);
  const name = match?.[1];
  if (name === undefined || !isHostName(name)) {
    throw new TypeError(
      `target "${text}": "${rest}" is not _service._protocol.name, for example _grpc._tcp.orders.example`,
    );
  }
  // Certificates are for the domain that was asked for: an answer of DNS proves nothing (RFC 6125, section 6.2.1).
  const authority = { host: withoutDot(name), port: undefined };
  return { text, scheme: "dns+srv", service: rest, authority, record: rest, server: parseServer(server, text) };
}

function kubernetesTarget(text: string, rest: string): ParsedTarget {
  const label = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
  const match = new RegExp(`^(${label})(?:\\.(${label})(?:\\.svc(?:\\.[a-z0-9.-]+)?)?)?(?::([a-z0-9-]{1,63}))?$`).exec(
    rest,
  );
  const [, name, namespace, port] = match ?? [];
  if (name === undefined) {
    throw new TypeError(`target "${text}": "${rest}" is not service.namespace:port-name (lower-case DNS labels)`);
  }
  const host = namespace === undefined ? name : `${name}.${namespace}.svc`;
  const number = Number(port);
  const authority = { host, port: isPort(number) ? number : undefined };
  return { text, scheme: "k8s", service: rest, authority, name, namespace, port };
}

function fileTarget(text: string, rest: string): ParsedTarget {
  if (rest === "" || rest.endsWith("/") || rest.includes("\0")) {
    throw new TypeError(`target "${text}": file:/// must be followed by the path of a JSON file`);
  }
  let path: string;
  try {
    path = decodeURIComponent(rest);
  } catch {
    throw new TypeError(`target "${text}": "${rest}" has a broken percent escape`);
  }
  // file:///C:/endpoints.json on Windows, as URLs write it.
  const absolute = /^[A-Za-z]:/.test(path) ? path : `/${path}`;
  return { text, scheme: "file", service: path, authority: undefined, path: absolute };
}

/** An address `host:port`; IPv6 literals stand in brackets. @throws TypeError naming the target */
export function parseAddress(text: string, target: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/?#@\s]+)):([0-9]{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !isPort(port) || !(match?.[1] === undefined ? isHostName(host) : isIPv6(host))) {
    throw new TypeError(`target "${target}": "${text}" is not host:port with a port from 1 to 65535`);
  }
  return { host, port };
}

function parseServer(server: string, target: string): string | undefined {
  if (server === "") return undefined;
  if (/^(?:[0-9.]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$/.test(server)) return server;
  throw new TypeError(`target "${target}": the DNS server "${server}" is not an IP address or address:port`);
}

/** Whether a number is a TCP port to connect to. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** Labels of at most 63 characters, 253 in all; underscores occur in names of containers. */
function isHostName(host: string): boolean {
  return (
    host.length <= 254 &&
    withoutDot(host)
      .split(".")
      .every(label => /^[^\s.:]{1,63}$/.test(label))
  );
}

function withoutDot(host: string): string {
  return host.endsWith(".") ? host.slice(0, -1) : host;
}

/** Whether text is an IPv4 address in dotted decimals. */
export function isIPv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every(part => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
}

/** Whether text is an IPv6 address, without brackets. */
export function isIPv6(text: string): boolean {
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text) || !text.includes(":")) return false;
  return URL.canParse(`http://[${text}]/`);
}
