import { metadataCharactersMax, priorityMax } from "../limits.ts";
import { type ResolvedEndpoint, resolvedEndpoint } from "../resolver.ts";
import { isPort, parseAddress } from "../target.ts";

/**
 * The endpoints in a JSON document: a list, or an object with the list as `endpoints`. Each is `"host:port"` or an object:
 *
 * ```json
 * { "endpoints": ["10.0.0.1:8080", { "address": "10.0.0.2", "port": 8080, "weight": 2, "priority": 1, "zone": "a" }] }
 * ```
 * @throws Error naming the member that cannot be
 */
export function parseEndpoints(text: string): readonly ResolvedEndpoint[] {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    const what = text.trim() === "" ? "the file is empty" : `not JSON: ${(cause as Error).message}`;
    throw new Error(what, { cause });
  }
  const list = isObject(document) ? document.endpoints : document;
  if (!Array.isArray(list)) throw new Error('expected a list of endpoints, or {"endpoints": […]}');
  return list.map((one: unknown, index) => parseEndpoint(one, `endpoints[${index}]`));
}

function parseEndpoint(value: unknown, at: string): ResolvedEndpoint {
  if (typeof value === "string") {
    const { host, port } = parseAddress(value, at);
    return resolvedEndpoint(host, port);
  }
  if (!isObject(value)) throw new Error(`${at}: expected "host:port" or an object, got ${JSON.stringify(value)}`);
  const { address, port, weight = 1, priority = 0, zone, hostname, metadata = {} } = value;
  const wrong = (member: string, expected: string, got: unknown) =>
    new Error(`${at}.${member}: expected ${expected}, got ${JSON.stringify(got)?.slice(0, 100)}`);
  if (typeof address !== "string" || !/^[^\s/[\]]{1,254}$/.test(address)) {
    throw wrong("address", "an IP address or a name", address);
  }
  if (typeof port !== "number" || !isPort(port)) throw wrong("port", "an integer from 1 to 65535", port);
  if (typeof weight !== "number" || !(weight > 0 && weight <= 1e6)) {
    throw wrong("weight", "a number above 0, at most 1000000", weight);
  }
  if (typeof priority !== "number" || !Number.isInteger(priority) || priority < 0 || priority > priorityMax) {
    throw wrong("priority", `an integer from 0 to ${priorityMax}`, priority);
  }
  if (zone !== undefined && typeof zone !== "string") throw wrong("zone", "a string", zone);
  if (hostname !== undefined && (typeof hostname !== "string" || !/^[\w.-]{1,254}$/.test(hostname))) {
    throw wrong("hostname", "a host name", hostname);
  }
  if (!isObject(metadata)) throw wrong("metadata", "an object of strings", metadata);
  let characters = 0;
  const entries = Object.entries(metadata).map(([name, one]): [string, string] => {
    if (typeof one !== "string") throw wrong(`metadata.${name}`, "a string", one);
    characters += name.length + one.length;
    return [name, one];
  });
  if (characters > metadataCharactersMax) {
    throw wrong("metadata", `at most ${metadataCharactersMax} characters`, characters);
  }
  return resolvedEndpoint(address, port, { weight, priority, zone, hostname, metadata: Object.fromEntries(entries) });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
