import type { Observer, Platform, Timer } from "../../../platform/index.ts";
import { outsideContext } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { type AmqpClient, type AmqpConnection, AmqpError, type Endpoint } from "./amqp.ts";
import { backoffMs } from "./backoff.ts";
import { type ConnectError, explainConnect } from "./connect-error.ts";
import { tell } from "./observed.ts";

/** Hears what becomes of a supervised connection. `up` and `down` alternate, beginning with `up`. */
export interface ConnectionListener {
  up?(connection: AmqpConnection): void;
  /** The connection of the last `up` is over; what was on its channels is lost. */
  down?(error: Error): void;
  blocked?(reason: string): void;
  unblocked?(): void;
}

/**
 * idle ─start→ connecting ─ok→ up ─lost→ connecting (at once, next host) ─all hosts failed→ waiting ─time→ connecting …
 * and from everywhere to closed. The first round has no waiting: a service that cannot reach its broker says so at start.
 */
type State =
  | { readonly name: "idle" | "closed" }
  | { readonly name: "connecting" }
  | { readonly name: "up"; readonly connection: AmqpConnection }
  | { readonly name: "waiting"; readonly timer: Timer };

interface Waiter {
  readonly resolve: (connection: AmqpConnection) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

export interface SupervisedConnectionOptions {
  /** For events: `publisher`, `consumer`. */
  readonly name: string;
  readonly client: AmqpClient;
  readonly endpoints: readonly Endpoint[];
  readonly platform: Platform;
  readonly observer: Observer;
}

/** Keeps one connection to any of several hosts, for as long as it is not closed. */
export class SupervisedConnection {
  readonly #options: SupervisedConnectionOptions;
  readonly #listeners = new Set<ConnectionListener>();
  readonly #waiters = new Set<Waiter>();
  #state: State = { name: "idle" };
  #host: number;
  /** Of rounds through all hosts, since the last connection that held. */
  #failedRounds = 0;
  #lastError: Error | undefined;
  #blockedBecause: string | undefined;
  #upSinceMs = 0;

  constructor(options: SupervisedConnectionOptions) {
    this.#options = options;
    // Clients of one URL must not all go to its first host.
    this.#host = options.platform.random.below(options.endpoints.length);
  }

  get connection(): AmqpConnection | undefined {
    return this.#state.name === "up" ? this.#state.connection : undefined;
  }

  /** Why nothing can be sent at the moment. */
  get trouble(): string | undefined {
    switch (this.#state.name) {
      case "up":
        return this.#blockedBecause === undefined ? undefined : `the broker takes no messages: ${this.#blockedBecause}`;
      case "closed":
        return "closed";
      case "idle":
        return "not connected yet";
      default:
        return this.#lastError?.message ?? "not connected";
    }
  }

  listen(listener: ConnectionListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Makes the first connection. When no host can be reached it gives up; later losses are mended without end.
   * @throws ConnectError
   */
  async start(): Promise<void> {
    if (this.#state.name !== "idle") return;
    this.#state = { name: "connecting" };
    const error = await this.#round();
    if (error === undefined || this.#isClosed()) return;
    this.#state = { name: "idle" };
    throw error;
  }

  /** @throws BrokerError when there is none within `timeoutMs` */
  whenUp(timeoutMs: number): Promise<AmqpConnection> {
    if (this.#state.name === "up") return Promise.resolve(this.#state.connection);
    if (this.#isClosed()) return Promise.reject(new BrokerError("RabbitMQ: the broker is closed"));
    const { promise, resolve, reject } = Promise.withResolvers<AmqpConnection>();
    const timer = this.#options.platform.clock.after(timeoutMs, () => {
      this.#waiters.delete(waiter);
      reject(new BrokerError(`RabbitMQ: no connection within ${timeoutMs} ms: ${this.trouble}`));
    });
    const waiter: Waiter = { resolve, reject, timer };
    this.#waiters.add(waiter);
    return promise;
  }

  /**
   * Runs work that does no harm when it is done twice: again on the next connection when this one breaks under it.
   * @throws BrokerError when there is no connection for `timeoutMs`; whatever `work` throws while its connection holds
   */
  async use<T>(timeoutMs: number, work: (connection: AmqpConnection) => Promise<T>): Promise<T> {
    const { clock } = this.#options.platform;
    const endMs = clock.now() + timeoutMs;
    for (;;) {
      const connection = await this.whenUp(Math.max(0, endMs - clock.now()));
      try {
        return await work(connection);
      } catch (error) {
        if (this.connection === connection || this.#isClosed()) throw error;
      }
    }
  }

  async close(): Promise<void> {
    const state = this.#state;
    this.#state = { name: "closed" };
    for (const waiter of this.#waiters) {
      waiter.timer.cancel();
      waiter.reject(new BrokerError("RabbitMQ: the broker was closed"));
    }
    this.#waiters.clear();
    if (state.name === "waiting") state.timer.cancel();
    if (state.name !== "up") return;
    state.connection.handler = { closed() {}, blocked() {}, unblocked() {} };
    await state.connection.close();
  }

  #isClosed(): boolean {
    return this.#state.name === "closed";
  }

  /** Tries each host once. Resolves with the last error when none could be reached. */
  async #round(): Promise<ConnectError | undefined> {
    const { client, endpoints } = this.#options;
    let last: ConnectError | undefined;
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[this.#host] as Endpoint;
      try {
        const connection = await outsideContext(() => client.open(endpoint));
        if (this.#isClosed()) connection.destroy();
        else this.#opened(connection, endpoint);
        return undefined;
      } catch (error) {
        if (this.#isClosed()) return undefined;
        const explained = explainConnect(error, endpoint);
        // What somebody has to mend is said before what may pass by itself.
        if (last === undefined || explained.isPermanent || !last.isPermanent) last = explained;
        this.#host = (this.#host + 1) % endpoints.length;
      }
    }
    return last;
  }

  #opened(connection: AmqpConnection, endpoint: Endpoint): void {
    const { name, observer, platform } = this.#options;
    this.#state = { name: "up", connection };
    this.#blockedBecause = undefined;
    this.#upSinceMs = platform.clock.now();
    connection.handler = {
      closed: error => this.#lost(connection, error ?? new AmqpError("the connection was closed", undefined)),
      blocked: reason => {
        this.#blockedBecause = reason;
        tell(observer, { type: "rabbitmq.blocked", connection: name, reason });
        for (const listener of this.#listeners) listener.blocked?.(reason);
      },
      unblocked: () => {
        this.#blockedBecause = undefined;
        tell(observer, { type: "rabbitmq.unblocked", connection: name });
        for (const listener of this.#listeners) listener.unblocked?.();
      },
    };
    tell(observer, {
      type: "rabbitmq.connected",
      connection: name,
      host: `${endpoint.host}:${endpoint.port}`,
      version: connection.version,
    });
    for (const waiter of this.#waiters) {
      waiter.timer.cancel();
      waiter.resolve(connection);
    }
    this.#waiters.clear();
    for (const listener of this.#listeners) listener.up?.(connection);
  }

  #lost(connection: AmqpConnection, error: Error): void {
    if (this.#state.name !== "up" || this.#state.connection !== connection) return;
    const { endpoints, name, observer, platform } = this.#options;
    this.#lastError = error;
    // A connection that does not hold counts like a failed round: otherwise it would be made again without any pause.
    const heldMs = platform.clock.now() - this.#upSinceMs;
    this.#failedRounds = heldMs < 5_000 ? this.#failedRounds + 1 : 0;
    this.#host = (this.#host + 1) % endpoints.length;
    this.#state = { name: "connecting" };
    tell(observer, { type: "rabbitmq.disconnected", connection: name, error });
    for (const listener of this.#listeners) listener.down?.(error);
    if (this.#isClosed()) return;
    if (this.#failedRounds > 1) this.#wait(error);
    else void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    this.#state = { name: "connecting" };
    const error = await this.#round();
    if (error === undefined || this.#isClosed()) return;
    this.#failedRounds++;
    this.#wait(error);
  }

  #wait(error: Error): void {
    const { name, observer, platform } = this.#options;
    this.#lastError = error;
    const waitMs = backoffMs(this.#failedRounds - 1, platform.random);
    tell(observer, { type: "rabbitmq.connect_failed", connection: name, error, waitMs });
    const timer = outsideContext(() => platform.clock.after(waitMs, () => void this.#reconnect(), true));
    this.#state = { name: "waiting", timer };
  }
}
