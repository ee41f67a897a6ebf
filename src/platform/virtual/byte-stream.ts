import type { Clock } from "../clock.ts";
import { EarlyInput } from "../early-input.ts";
import { outputHighWaterBytes } from "../limits.ts";
import type { ByteStream, ByteStreamHandler, TlsState } from "../network.ts";

/** The behaviour of the way between two ends; may be changed at any time, for what is sent afterwards. */
export interface LinkConditions {
  /** One-way delay. @default 0: at the end of the turn */
  latencyMs: number;
  /** Input comes in pieces of at most this many bytes. @default 65_536, as from a socket */
  chunkBytesMax: number;
  /** Nothing arrives any more, and nobody is told: a cable that was pulled. @default false */
  isSilent: boolean;
}

export const perfectLink: Readonly<LinkConditions> = { latencyMs: 0, chunkBytesMax: 65_536, isSilent: false };

/** What travels: bytes, the end of one direction, the end of both. */
type Arrival = Uint8Array | "fin" | "gone";

export interface StreamAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
}

function connectionReset(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
}

/**
 * One end of a connection inside the process. As strict as a socket: nothing is delivered within `write`, and the memory
 * of a chunk is overwritten when `data` has returned.
 */
export class VirtualByteStream implements ByteStream {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly tls: TlsState | undefined = undefined;
  bufferedBytes = 0;
  isClosed = false;

  readonly #clock: Clock;
  readonly #conditions: LinkConditions;
  #peer: VirtualByteStream = this;
  readonly #early = new EarlyInput();
  #owner: ByteStreamHandler | undefined;
  #isReplaying = false;
  #handler: ByteStreamHandler = this.#early;

  /** What has arrived and waits for a resume. */
  readonly #arrived: Arrival[] = [];
  #isPaused = false;
  #isPumping = false;
  #isFull = false;
  #isEndSent = false;
  #isEndReceived = false;

  constructor(clock: Clock, conditions: LinkConditions, addresses: StreamAddresses) {
    this.#clock = clock;
    this.#conditions = conditions;
    this.remoteAddress = addresses.remoteAddress;
    this.remotePort = addresses.remotePort;
    this.localPort = addresses.localPort;
  }

  /** Joins two ends. */
  static join(one: VirtualByteStream, other: VirtualByteStream): void {
    one.#peer = other;
    other.#peer = one;
  }

  get handler(): ByteStreamHandler {
    return this.#handler;
  }

  set handler(handler: ByteStreamHandler) {
    const isFirst = this.#owner === undefined;
    this.#owner = handler;
    if (this.#isReplaying) return;
    if (!isFirst || this.#early.isEmpty) {
      this.#handler = handler;
      return;
    }
    this.#isReplaying = true;
    queueMicrotask(() => {
      this.#early.replay(() => this.#owner as ByteStreamHandler);
      this.#isReplaying = false;
      this.#handler = this.#owner as ByteStreamHandler;
    });
  }

  write(chunk: Uint8Array): boolean {
    if (this.isClosed || this.#isEndSent) return false;
    if (chunk.length > 0) {
      this.bufferedBytes += chunk.length;
      this.#send(chunk);
    }
    this.#isFull ||= this.bufferedBytes >= outputHighWaterBytes;
    return !this.#isFull;
  }

  writeAll(chunks: readonly Uint8Array[]): boolean {
    let hasRoom = !this.#isFull;
    for (const chunk of chunks) hasRoom = this.write(chunk);
    return hasRoom;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#arrived.length > 0) this.#clock.endOfTurn(() => this.#pump());
  }

  holdProcess(): void {}

  end(): void {
    if (this.isClosed || this.#isEndSent) return;
    this.#isEndSent = true;
    this.#send("fin");
  }

  destroy(error?: Error): void {
    if (this.isClosed) return;
    const peer = this.#peer;
    // As with TCP: input that nobody read turns the end into a reset.
    const isReset = this.#arrived.length > 0;
    this.#close(error);
    if (isReset) this.#travel(() => peer.#close(connectionReset()));
    else this.#send("gone");
  }

  /** Loses the connection: this end is told now, the other one after the link's delay. */
  cut(): void {
    if (this.isClosed) return;
    const peer = this.#peer;
    this.#close(connectionReset());
    this.#travel(() => peer.#close(connectionReset()));
  }

  #send(item: Arrival): void {
    const peer = this.#peer;
    this.#travel(() => peer.#arrive(item));
  }

  /** Everything takes the same way, so that order is kept. */
  #travel(arrive: () => void): void {
    const { latencyMs, isSilent } = this.#conditions;
    if (isSilent) return;
    if (latencyMs > 0) this.#clock.after(latencyMs, arrive);
    else this.#clock.endOfTurn(arrive);
  }

  #arrive(item: Arrival): void {
    if (this.isClosed) return;
    this.#arrived.push(item);
    this.#pump();
  }

  /** Delivers what has arrived until the owner pauses. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (!this.#isPaused && !this.isClosed) {
        const item = this.#arrived.shift();
        if (item === undefined) break;
        if (item === "fin") this.#receiveEnd();
        else if (item === "gone") this.#peerGone();
        else this.#deliver(item);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  #deliver(item: Uint8Array): void {
    const size = Math.min(item.length, this.#conditions.chunkBytesMax);
    if (size < item.length) this.#arrived.unshift(item.subarray(size));
    const chunk = Buffer.from(item.subarray(0, size));
    try {
      this.#handler.data(chunk);
    } finally {
      if (this.#handler !== this.#early) chunk.fill(0xa5);
      this.#peer.#taken(size);
    }
  }

  #taken(bytes: number): void {
    this.bufferedBytes -= bytes;
    if (!this.#isFull || this.bufferedBytes > outputHighWaterBytes / 4) return;
    this.#isFull = false;
    this.#clock.endOfTurn(() => {
      if (!this.isClosed) this.#handler.drained();
    });
  }

  #receiveEnd(): void {
    this.#isEndReceived = true;
    this.#handler.ended();
    this.#closeWhenBothEnded();
    this.#peer.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    if (this.#isEndReceived && this.#peer.#isEndReceived === true) this.#close(undefined);
  }

  /** The other end was closed without a reset: a FIN, after which nothing can be sent either. */
  #peerGone(): void {
    const isLost = this.bufferedBytes > 0;
    if (!this.#isEndReceived) {
      this.#isEndReceived = true;
      this.#handler.ended();
    }
    this.#close(isLost ? connectionReset() : undefined);
  }

  #close(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.bufferedBytes = 0;
    this.#arrived.length = 0;
    this.#clock.endOfTurn(() => (error === undefined ? this.#handler.closed() : this.#handler.closed(error)));
  }
}

export interface ByteStreamPair {
  readonly client: VirtualByteStream;
  readonly server: VirtualByteStream;
  /** Of both directions. */
  readonly conditions: LinkConditions;
}

/** Two ends of one connection inside the process, in the time of `clock`. */
export function byteStreamPair(clock: Clock, conditions: Partial<LinkConditions> = {}): ByteStreamPair {
  return joinedStreams(clock, { ...perfectLink, ...conditions }, "127.0.0.1", 40_000, "127.0.0.1", 80);
}

export function joinedStreams(
  clock: Clock,
  conditions: LinkConditions,
  clientAddress: string,
  clientPort: number,
  serverAddress: string,
  serverPort: number,
): ByteStreamPair {
  const client = new VirtualByteStream(clock, conditions, {
    remoteAddress: serverAddress,
    remotePort: serverPort,
    localPort: clientPort,
  });
  const server = new VirtualByteStream(clock, conditions, {
    remoteAddress: clientAddress,
    remotePort: clientPort,
    localPort: serverPort,
  });
  VirtualByteStream.join(client, server);
  return { client, server, conditions };
}
