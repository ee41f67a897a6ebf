import { Resolver } from "node:dns/promises";
import { type FileHandle, open } from "node:fs/promises";
import { isIP } from "node:net";
import { outsideContext } from "../context.ts";
import { dnsTimeoutMs, hostsFileBytesMax } from "../limits.ts";
import {
  type AddressRecord,
  type DnsClient,
  DnsError,
  type DnsFailureReason,
  type DnsOptions,
  type ServiceRecord,
} from "../network.ts";

const reasons: Readonly<Record<string, DnsFailureReason>> = {
  ENOTFOUND: "not_found",
  ENODATA: "not_found",
  ESERVFAIL: "server_failure",
  ENOTIMP: "refused",
  EREFUSED: "refused",
  ETIMEOUT: "timeout",
  ECANCELLED: "timeout",
  ECONNREFUSED: "unreachable",
};

const hostsFile =
  process.platform === "win32"
    ? `${process.env.SystemRoot ?? "C:\\Windows"}\\System32\\drivers\\etc\\hosts`
    : "/etc/hosts";

function failure(name: string, type: string, cause: NodeJS.ErrnoException): DnsError {
  const reason = reasons[cause.code ?? ""] ?? "malformed";
  return new DnsError(reason, `DNS query ${type} ${name}: ${cause.code ?? cause.message}`, cause);
}

/** The addresses that a table of hosts (hosts(5)) gives a name. */
export function addressesInHostsFile(text: string, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  const found: string[] = [];
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (isIP(address) !== 0 && names.some(one => one.toLowerCase() === wanted)) found.push(address);
  }
  return found;
}

async function readHosts(): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(hostsFile, "r");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min((await file.stat()).size, hostsFileBytesMax)));
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    return ""; // a machine without the table has an empty one
  } finally {
    await file?.close();
  }
}

class SystemDns implements DnsClient {
  readonly #resolver: Resolver;

  constructor({ servers, timeoutMs = dnsTimeoutMs }: DnsOptions) {
    this.#resolver = new Resolver({ timeout: timeoutMs, tries: 2 });
    if (servers === undefined) return;
    try {
      this.#resolver.setServers(servers);
    } catch (cause) {
      throw new TypeError(`DNS servers ${servers.join(", ")}: each must be an IP address or address:port`, { cause });
    }
  }

  async resolveAddresses(name: string, family: 4 | 6): Promise<readonly AddressRecord[]> {
    try {
      const records = await outsideContext(() =>
        family === 4 ? this.#resolver.resolve4(name, { ttl: true }) : this.#resolver.resolve6(name, { ttl: true }),
      );
      return records.map(({ address, ttl }) => ({ address, ttlSeconds: ttl }));
    } catch (cause) {
      throw failure(name, family === 4 ? "A" : "AAAA", cause as NodeJS.ErrnoException);
    }
  }

  async resolveServices(name: string): Promise<readonly ServiceRecord[]> {
    try {
      return await outsideContext(() => this.#resolver.resolveSrv(name));
    } catch (cause) {
      throw failure(name, "SRV", cause as NodeJS.ErrnoException);
    }
  }

  async hosts(name: string): Promise<readonly string[]> {
    return addressesInHostsFile(await outsideContext(readHosts), name);
  }

  close(): void {
    this.#resolver.cancel();
  }
}

/** c-ares behind Node's resolver: the only one that shows times to live. */
export function systemDns(options: DnsOptions = {}): DnsClient {
  return new SystemDns(options);
}
