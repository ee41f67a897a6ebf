/** Whether a host is this machine by its name or address alone: nobody else can listen in. Names are not looked up. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^(?:::ffff:)?127(?:\.[0-9]{1,3}){3}$/.test(bare);
}

/** Whether all addresses of a target are loopback; a target of a kind that we do not read is not. */
export function isLoopbackTarget(target: string): boolean {
  const rest = /^(?:dns|static):\/\/\/(.*)$/.exec(target)?.[1] ?? (target.includes("://") ? undefined : target);
  if (rest === undefined) return false;
  return rest.split(",").every(address => isLoopbackHost(address.trim().replace(/:[0-9]+$/, "")));
}
