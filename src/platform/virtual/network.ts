import type { Clock } from "../clock.ts";
import { connectTimeoutMs } from "../limits.ts";
import type {
  ByteStream,
  ConnectOptions,
  DnsClient,
  DnsOptions,
  Listening,
  ListenOptions,
  Network,
  ResolvedAddress,
  TlsServerContext,
} from "../network.ts";
import { type ByteStreamPair, joinedStreams, type LinkConditions, perfectLink } from "./byte-stream.ts";
import { VirtualDns } from "./dns.ts";

const firstFreePort = 40_000;
const wildcards: readonly string[] = ["::", "0.0.0.0"];

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

/** A network inside the process: the same contract as the system's, in the time of any clock. It has no TLS. */
export class VirtualNetwork implements Network {
  /** Conditions of connections that are made from now on. */
  readonly conditions: LinkConditions;
  /** The address that connections come from, as their servers see it; may be changed at any time. */
  clientAddress = "127.0.0.1";
  /** Open connections. */
  readonly connections = new Set<ByteStreamPair>();
  /** The DNS servers of this network; its records and failures are set by tests. */
  readonly dnsServer: VirtualDns;

  readonly #clock: Clock;
  readonly #listeners = new Map<string, (stream: ByteStream) => void>();
  readonly #hosts = new Map<string, readonly string[]>([["localhost", ["127.0.0.1"]]]);
  #nextPort = firstFreePort;

  constructor(clock: Clock, conditions: Partial<LinkConditions> = {}) {
    this.#clock = clock;
    this.conditions = { ...perfectLink, ...conditions };
    this.dnsServer = new VirtualDns(clock);
  }

  /** Makes a host name known. */
  addHost(name: string, ...addresses: readonly string[]): void {
    this.#hosts.set(name, addresses);
  }

  async listen(options: ListenOptions, onConnection: (stream: ByteStream) => void): Promise<Listening> {
    const host = this.#addresses(options.host)[0] as string;
    const port = options.port === 0 ? this.#freePort() : options.port;
    const key = `${host} ${port}`;
    if (this.#listeners.has(key)) {
      throw new Error(`cannot listen on ${options.host}:${port}: the port is taken by another process or server`, {
        cause: systemError("EADDRINUSE", "address already in use"),
      });
    }
    this.#listeners.set(key, onConnection);
    return { host, port, close: async () => void this.#listeners.delete(key) };
  }

  async connect(options: ConnectOptions, signal?: AbortSignal): Promise<ByteStream> {
    signal?.throwIfAborted();
    const fail = (text: string, cause: Error) =>
      new Error(`cannot connect to ${options.host}:${options.port}: ${text}`, { cause });
    if (options.tls !== undefined) throw fail("this network has no TLS", systemError("ENOTSUP", "no TLS"));
    const addresses = await this.lookup(options.host);
    const { promise, resolve, reject } = Promise.withResolvers<ByteStream>();
    const timeoutMs = options.timeoutMs ?? connectTimeoutMs;
    const timer = this.#clock.after(timeoutMs, () =>
      reject(fail(`no connection within ${timeoutMs} ms`, systemError("ETIMEDOUT", "connection timed out"))),
    );
    const abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    let isOver = false;
    const attempt = () => {
      if (isOver || this.conditions.isSilent) return;
      for (const { address } of addresses) {
        const onConnection = this.#listenerAt(address, options.port);
        if (onConnection === undefined) continue;
        const pair = this.#join(address, options.port);
        onConnection(pair.server);
        resolve(pair.client);
        return;
      }
      reject(fail("connection refused: nothing listens there", systemError("ECONNREFUSED", "connection refused")));
    };
    // A handshake takes one round trip.
    if (this.conditions.latencyMs > 0) this.#clock.after(2 * this.conditions.latencyMs, attempt);
    else this.#clock.endOfTurn(attempt);
    try {
      return await promise;
    } finally {
      isOver = true;
      timer.cancel();
      signal?.removeEventListener("abort", abort);
    }
  }

  async lookup(host: string): Promise<readonly ResolvedAddress[]> {
    return this.#addresses(host).map(address => ({ address, family: address.includes(":") ? 6 : 4 }));
  }

  dns(options: DnsOptions = {}): DnsClient {
    return this.dnsServer.client(options, name => this.#hosts.get(name) ?? []);
  }

  tlsServerContext(): TlsServerContext {
    throw new Error("a virtual network has no TLS");
  }

  async secure(): Promise<ByteStream> {
    throw new Error("a virtual network has no TLS");
  }

  /** Loses every open connection. */
  cutAll(): void {
    for (const pair of this.connections) pair.client.cut();
  }

  #addresses(host: string): readonly string[] {
    const addresses = this.#hosts.get(host) ?? (/^[0-9.]+$|:/.test(host) ? [host] : undefined);
    if (addresses === undefined) {
      throw new Error(`cannot look up the host "${host}"`, { cause: systemError("ENOTFOUND", `getaddrinfo ${host}`) });
    }
    return addresses;
  }

  #listenerAt(address: string, port: number): ((stream: ByteStream) => void) | undefined {
    for (const host of [address, ...wildcards]) {
      const found = this.#listeners.get(`${host} ${port}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #freePort(): number {
    return this.#nextPort++;
  }

  #join(address: string, port: number): ByteStreamPair {
    for (const pair of this.connections) {
      if (pair.client.isClosed && pair.server.isClosed) this.connections.delete(pair);
    }
    const pair = joinedStreams(
      this.#clock,
      { ...this.conditions },
      this.clientAddress,
      this.#freePort(),
      address,
      port,
    );
    this.connections.add(pair);
    return pair;
  }
}
