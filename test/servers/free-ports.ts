import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const lowest = 20_000;
const triesMax = 200;

/** Where the system begins to take ports for outgoing connections; it must not take one of ours while a server is down. */
function ephemeralFrom(): number {
  try {
    return Number.parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
  } catch {
    return 49_152; // RFC 6335, section 6: the dynamic ports
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Ports of 127.0.0.1 that nobody listens on, picked at random, so that servers that start at once do not meet. */
export async function freePorts(count: number): Promise<number[]> {
  const below = Math.max(ephemeralFrom(), lowest + 1_000);
  const ports = new Set<number>();
  for (let tries = 0; tries < triesMax && ports.size < count; tries++) {
    const port = randomInt(lowest, below);
    if (await isFree(port)) ports.add(port);
  }
  if (ports.size < count) throw new Error(`no ${count} free ports between ${lowest} and ${below}`);
  return [...ports];
}
