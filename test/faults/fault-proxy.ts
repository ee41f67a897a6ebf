import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Lane, type LaneFaults } from "./lane.ts";

export interface Faults {
  /** From the client to the target. */
  readonly toTarget?: LaneFaults | undefined;
  /** From the target to the client. */
  readonly toClient?: LaneFaults | undefined;
}

/** One connection through the proxy; its two lanes can be set each by itself. */
export class ProxiedConnection {
  readonly toTarget: Lane;
  readonly toClient: Lane;
  readonly #client: Socket;
  readonly #target: Socket;

  constructor(client: Socket, target: Socket, faults: Faults, gone: (connection: ProxiedConnection) => void) {
    this.#client = client;
    this.#target = target;
    const cut = (): void => this.cut("reset");
    this.toTarget = new Lane(client, target, faults.toTarget ?? {}, cut);
    this.toClient = new Lane(target, client, faults.toClient ?? {}, cut);
    const closed = (): void => {
      if (!client.destroyed || !target.destroyed) return;
      this.toTarget.close();
      this.toClient.close();
      gone(this);
    };
    client.once("close", closed);
    target.once("close", closed);
  }

  set({ toTarget = {}, toClient = {} }: Faults): void {
    this.toTarget.set(toTarget);
    this.toClient.set(toClient);
  }

  /** Ends it towards both sides, with RST or with FIN; what is held is lost. */
  cut(how: "reset" | "end"): void {
    this.toTarget.close();
    this.toClient.close();
    for (const socket of [this.#client, this.#target]) {
      if (how === "reset" && !socket.writableFinished) socket.resetAndDestroy();
      else socket.destroySoon();
    }
    if (how === "reset") return;
    // A FIN is an end only when the other direction does not stay open behind it.
    this.#client.resume();
    this.#target.resume();
  }
}

/** Connections beyond it are closed at once. */
const connectionsMax = 1_024;

/**
 * A TCP proxy on 127.0.0.1 for real processes, that makes what networks make: cuts, delays, narrow lines, half-open and
 * silent connections. Faults hold for the connections there are and for those to come.
 *
 * What it cannot do is to lose the handshake: the kernel accepts. A black hole takes connections and says nothing, which is
 * what a client sees of a host that hangs behind a load balancer.
 *
 * ```ts
 * await using proxy = await FaultProxy.start({ port });
 * proxy.set({ toClient: { latencyMs: 200 } });
 * ```
 */
export class FaultProxy implements AsyncDisposable {
  #targetPort: number | undefined;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #server: Server;
  #faults: Faults = {};
  #port = 0;
  /** Connections since the start. */
  accepted = 0;

  /** @param target on 127.0.0.1; without it, connections are reset until `aim` names one */
  static async start(target?: { readonly port: number }): Promise<FaultProxy> {
    const proxy = new FaultProxy();
    if (target !== undefined) proxy.aim(target);
    await proxy.accept();
    return proxy;
  }

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#join(client));
    this.#server.maxConnections = connectionsMax;
  }

  get port(): number {
    return this.#port;
  }

  get connections(): readonly ProxiedConnection[] {
    return [...this.#connections];
  }

  /** Where connections go from now on: for servers that have to know the proxy's port before they start. */
  aim(target: { readonly port: number }): void {
    this.#targetPort = target.port;
  }

  /** Changes what is named, for all connections and for those to come. */
  set(faults: Faults): void {
    this.#faults = {
      toTarget: { ...this.#faults.toTarget, ...faults.toTarget },
      toClient: { ...this.#faults.toClient, ...faults.toClient },
    };
    for (const connection of this.#connections) connection.set(faults);
  }

  /** Takes everything and passes nothing on, in both directions. */
  blackHole(): void {
    this.set({ toTarget: { isStopped: true }, toClient: { isStopped: true } });
  }

  /** No faults any more; what was held passes now. */
  heal(): void {
    const none = { latencyMs: 0, bytesPerSecond: Infinity, isStopped: false, cutAfterBytes: Infinity };
    this.set({ toTarget: none, toClient: none });
  }

  cut(how: "reset" | "end"): void {
    for (const connection of this.#connections) connection.cut(how);
  }

  /** New connections get ECONNREFUSED; those there are go on. */
  refuse(): void {
    if (this.#server.listening) this.#server.close();
  }

  /** Takes connections again, on the same port. */
  async accept(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    this.cut("reset");
    while (this.#connections.size > 0) await new Promise(resolve => setImmediate(resolve));
  }

  #join(client: Socket): void {
    this.accepted++;
    if (this.#targetPort === undefined) {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const target = connect({ port: this.#targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#connections.add(
      new ProxiedConnection(client, target, this.#faults, connection => this.#connections.delete(connection)),
    );
  }
}
