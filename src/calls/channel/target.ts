/** One address of a target. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * The addresses in a target: `host:port`, `dns:///host:port`, or `static:///host:port,host:port` (gRPC naming). Names are
 * looked up by the system when a connection is made.
 * @throws TypeError naming the target and what is wrong with it
 */
export function parseTarget(target: string): readonly Address[] {
  const match = /^([a-z0-9+]+):\/\/\/(.*)$/.exec(target);
  const scheme = match?.[1] ?? "dns";
  const rest = match?.[2] ?? target;
  switch (scheme) {
    case "dns":
      return [parseAddress(rest, target)];
    case "static":
      return rest.split(",").map(one => parseAddress(one, target));
    default:
      throw new TypeError(
        `target "${target}": the scheme "${scheme}" is not known; use dns:///, static:/// or host:port`,
      );
  }
}

function parseAddress(text: string, target: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):([0-9]{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new TypeError(`target "${target}": "${text}" is not host:port with a port from 1 to 65535`);
  }
  return { host, port };
}
