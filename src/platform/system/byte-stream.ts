import { Socket, type SocketConstructorOpts } from "node:net";
import { EarlyInput } from "../early-input.ts";
import { readBufferBytes } from "../limits.ts";
import type { ByteStream, ByteStreamHandler, TlsState } from "../network.ts";

/**
 * One buffer takes the input of all plain sockets: libuv reads into it and calls back before it reads again, and chunks
 * are only valid during the call. Without it Node allocates 64 KiB per read and shrinks it afterwards.
 */
const sharedReadBuffer = Buffer.allocUnsafeSlow(readBufferBytes);

/** A socket of Node as a byte stream. Input comes by `received` (shared buffer) or by `data` events (TLS on top). */
export class SocketByteStream implements ByteStream {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly tls: TlsState | undefined;
  readonly #socket: Socket;
  #handler: ByteStreamHandler;
  #early: EarlyInput | undefined = new EarlyInput();
  #owner: ByteStreamHandler | undefined;
  #isReplaying = false;
  #isFull = false;
  #isReleased = false;
  #error: Error | undefined;

  constructor(socket: Socket, tls?: TlsState, readsByEvents = false) {
    this.#socket = socket;
    this.#handler = this.#early as EarlyInput;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    this.tls = tls;
    if (readsByEvents) socket.on("data", (chunk: Buffer) => this.received(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("end", () => {
      if (!this.#isReleased) this.#handler.ended();
    });
    socket.on("error", error => {
      this.#error ??= error;
    });
    socket.on("close", () => {
      if (this.#isReleased) return;
      if (this.#error === undefined) this.#handler.closed();
      else this.#handler.closed(this.#error);
    });
  }

  get handler(): ByteStreamHandler {
    return this.#handler;
  }

  set handler(handler: ByteStreamHandler) {
    this.#owner = handler;
    const early = this.#early;
    if (early === undefined || early.isEmpty) {
      this.#early = undefined;
      this.#handler = handler;
    } else if (!this.#isReplaying) {
      // The owner is still setting itself up; what came before is told when it has finished. More queues up until then.
      this.#isReplaying = true;
      queueMicrotask(() => {
        early.replay(() => this.#owner as ByteStreamHandler);
        this.#early = undefined;
        this.#handler = this.#owner as ByteStreamHandler;
      });
    }
  }

  /** Input from the socket; the chunk is only valid during the call. */
  received(chunk: Buffer): void {
    if (!this.#isReleased) this.#handler.data(chunk);
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(chunk: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return false;
    socket.write(chunk);
    return this.#hasRoom();
  }

  writeAll(chunks: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return false;
    socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    socket.uncork();
    return this.#hasRoom();
  }

  /** Node's own answer counts bytes that the kernel took at once; this one looks afterwards. */
  #hasRoom(): boolean {
    if (this.#socket.writableLength < this.#socket.writableHighWaterMark) return true;
    this.#isFull = true;
    return false;
  }

  #drained(): void {
    if (!this.#isFull || this.#isReleased) return;
    this.#isFull = false;
    this.#handler.drained();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  holdProcess(holds: boolean): void {
    if (holds) this.#socket.ref();
    else this.#socket.unref();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  /** Gives the socket away, to be wrapped in TLS. This stream is silent from now on. */
  release(): Socket {
    this.#isReleased = true;
    return this.#socket;
  }
}

/** The options that make a socket read into the shared buffer. `deliver` is called with views on it. */
export function sharedBufferReading(deliver: (chunk: Buffer) => void): NonNullable<SocketConstructorOpts["onread"]> {
  return {
    buffer: sharedReadBuffer,
    callback(count) {
      deliver(sharedReadBuffer.subarray(0, count));
      return true;
    },
  };
}

/**
 * An accepted connection. Node's server offers no shared read buffer for the sockets that it accepts, so the handle is
 * moved into a socket that has one; the server must accept with `pauseOnConnect`. Where a version of Node keeps its
 * handles elsewhere, the socket is used as it is, which is slower and otherwise the same.
 */
export function acceptedStream(accepted: Socket): SocketByteStream {
  const holder = accepted as unknown as { _handle?: unknown };
  const handle = holder._handle;
  if (handle === undefined || handle === null) {
    const stream = new SocketByteStream(accepted, undefined, true);
    accepted.resume();
    return stream;
  }
  holder._handle = null;
  accepted.removeAllListeners();
  let stream: SocketByteStream | undefined;
  const options = { handle, allowHalfOpen: true, onread: sharedBufferReading(chunk => stream?.received(chunk)) };
  stream = new SocketByteStream(new Socket(options as SocketConstructorOpts));
  return stream;
}
