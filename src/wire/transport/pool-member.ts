import type { ClientConnection, ClientConnectionHandler } from "../exchange.ts";

/** What a connection tells its pool. */
export interface PoolMemberOwner {
  memberHasCapacity(member: PoolMember): void;
  memberDraining(member: PoolMember): void;
  memberClosed(member: PoolMember, error: Error | undefined): void;
}

/** A connection in a pool. */
export class PoolMember implements ClientConnectionHandler {
  readonly #owner: PoolMemberOwner;
  /** Set right after construction: the connection wants its handler first. */
  connection: ClientConnection | undefined;
  /** It stands in the pool's list of connections that take requests. */
  isListed = false;
  isRetired = false;
  #reserved = 0;
  /** What `activeExchanges` is while none of the callers with a reservation has begun. */
  #activeWithoutReserved = 0;
  /** It has been handed out at least once. */
  wasUsed = false;
  /** Used since the pool's last sweep. */
  isActive = true;
  idleSweeps = 0;
  /** Time of the pool's clock at which it takes no more requests. */
  readonly retireAtMs: number;

  constructor(owner: PoolMemberOwner, retireAtMs: number) {
    this.#owner = owner;
    this.retireAtMs = retireAtMs;
  }

  /** How many requests it takes beyond those that are promised. */
  get spare(): number {
    const { connection } = this;
    if (connection === undefined || this.isRetired) return 0;
    if (this.#reserved === 0) return connection.capacity;
    const begun = Math.max(connection.activeExchanges - this.#activeWithoutReserved, 0);
    return connection.capacity - Math.max(this.#reserved - begun, 0);
  }

  /** Keeps a place for a caller that will begin in a moment. Requests that end meanwhile err on the side of keeping. */
  reserve(): void {
    if (this.#reserved === 0) this.#activeWithoutReserved = this.connection?.activeExchanges ?? 0;
    this.#reserved++;
  }

  release(): void {
    this.#reserved--;
  }

  /** So many requests are begun by callers without a reservation. */
  begunUnreserved(count: number): void {
    this.#activeWithoutReserved += count;
  }

  capacityChanged(): void {
    this.#owner.memberHasCapacity(this);
  }

  draining(): void {
    this.#owner.memberDraining(this);
  }

  closed(error: Error | undefined): void {
    this.#owner.memberClosed(this, error);
  }
}
