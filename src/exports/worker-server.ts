import type { RpcServer, ServerListenOptions } from "../calls/rpc/index.ts";
import { isWorkerProcess, joinPrimary, type Observer, type TlsServerOptions, WorkerCrew } from "../platform/index.ts";

/** What `createServer` gives. */
export interface Server extends AsyncDisposable {
  /** Draining or closed: readiness probes should say no. */
  readonly isDraining: boolean;
  /** Calls that run now in this process. */
  readonly activeCalls: number;
  /** Resolves when connections are taken. @throws (rejects) when the port is taken, naming host and port */
  listen(options: ServerListenOptions): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes no new calls, lets the running ones finish, then ends. @param options.timeoutMs default 25,000 */
  drain(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Ends at once. */
  close(): Promise<void>;
  /** New connections see the new certificate; open ones go on. With workers, call it in each of them. */
  reloadTls(options: TlsServerOptions): void;
}

/**
 * A server in several processes. The main module runs in each of them: in the primary `listen` starts the workers, in a
 * worker it listens. What must exist once (a migration, a consumer) belongs behind `node:cluster`'s `isPrimary`.
 */
export function serverInWorkers(server: RpcServer, count: number, observer: Observer): Server {
  return isWorkerProcess ? new WorkerServer(server) : new PrimaryServer(server, count, observer);
}

const drainTimeoutMs = 25_000;

class WorkerServer implements Server {
  readonly #server: RpcServer;

  constructor(server: RpcServer) {
    this.#server = server;
  }

  get isDraining(): boolean {
    return this.#server.isDraining;
  }

  get activeCalls(): number {
    return this.#server.activeCalls;
  }

  async listen(options: ServerListenOptions): Promise<{ readonly host: string; readonly port: number }> {
    const address = await this.#server.listen(options);
    joinPrimary(address, timeoutMs => this.#server.drain({ timeoutMs }));
    return address;
  }

  drain(options?: { readonly timeoutMs?: number }): Promise<void> {
    return this.#server.drain(options);
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  reloadTls(options: TlsServerOptions): void {
    this.#server.reloadTls(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }
}

class PrimaryServer implements Server {
  readonly #server: RpcServer;
  readonly #count: number;
  readonly #observer: Observer;
  #crew: WorkerCrew | undefined;
  #isDraining = false;

  constructor(server: RpcServer, count: number, observer: Observer) {
    this.#server = server;
    this.#count = count;
    this.#observer = observer;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  get activeCalls(): number {
    return this.#server.activeCalls;
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    if (this.#crew !== undefined) throw new Error("the server listens already, in its workers");
    this.#crew = new WorkerCrew(this.#count, this.#observer);
    return this.#crew.started;
  }

  async drain(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#isDraining = true;
    await this.#crew?.drain(options.timeoutMs ?? drainTimeoutMs);
  }

  async close(): Promise<void> {
    this.#isDraining = true;
    await this.#crew?.close();
  }

  reloadTls(): void {
    throw new Error("the primary has no connections: call reloadTls in the workers");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }
}
