import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A server that does not answer within this is not ready yet. */
const answerMsMax = 2_000;

/** A connection to 127.0.0.1 from which a probe reads exactly what it expects. */
export class Probe implements Disposable {
  readonly #socket: Socket;
  readonly #chunks: AsyncIterator<Buffer>;
  #received: Buffer<ArrayBufferLike> = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** Rejects when nobody listens. */
  static async open(port: number): Promise<Probe> {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.setTimeout(answerMsMax, () => socket.destroy(new Error(`no answer within ${answerMsMax} ms`)));
    await once(socket, "connect");
    return new Probe(socket);
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  async read(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new Error(`the connection ended after ${this.#received.length} of ${length} bytes`);
      this.#received = Buffer.concat([this.#received, value]);
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#socket.on("error", () => {});
    this.#socket.destroy();
  }
}
