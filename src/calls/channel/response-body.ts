import { RpcError } from "../../errors/index.ts";
import type { ClientExchange } from "../../wire/index.ts";

/** The body of an answer as a web stream; the peer's window opens as fast as it is read. */
export class ResponseBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #exchange: ClientExchange;
  readonly #bytesMax: number;
  readonly #over: () => void;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wantsMore = false;
  #isComplete = false;
  #isOver = false;

  /** @param over told once, when nothing more comes of the stream: read to its end, failed, or let go of */
  constructor(exchange: ClientExchange, bytesMax: number, over: () => void) {
    this.#exchange = exchange;
    this.#bytesMax = bytesMax;
    this.#over = over;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wantsMore = true;
          this.#push();
        },
        cancel: () => this.#end("cancel"),
      },
      { highWaterMark: 0 },
    );
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (!this.#isOver && this.#bytes > this.#bytesMax) {
      this.fail(
        new RpcError(
          "resource_exhausted",
          `the body of the answer is larger than ${this.#bytesMax} bytes; responseBytesMax sets the limit`,
        ),
      );
    }
    if (this.#isOver) {
      if (!this.#exchange.isClosed) this.#exchange.consumed(end - start);
      return;
    }
    this.#chunks.push(Uint8Array.prototype.slice.call(chunk, start, end));
    this.#push();
  }

  complete(): void {
    this.#isComplete = true;
    this.#push();
  }

  fail(error: unknown): void {
    // What has come completely can be read whatever happens to the connection.
    if (this.#isOver || (this.#isComplete && this.#chunks.length === 0)) return;
    this.#controller?.error(error);
    this.#end("cancel");
  }

  /** Nobody reads it: what comes passes unread. */
  discard(): void {
    this.#end(undefined);
  }

  #push(): void {
    if (this.#isOver) return;
    if (this.#wantsMore) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#wantsMore = false;
        if (!this.#exchange.isClosed) this.#exchange.consumed(chunk.length);
        this.#controller?.enqueue(chunk);
      }
    }
    if (this.#isComplete && this.#chunks.length === 0) {
      this.#controller?.close();
      this.#end(undefined);
    }
  }

  #end(reset: "cancel" | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#chunks.length = 0;
    if (reset !== undefined && !this.#exchange.isClosed) this.#exchange.reset(reset);
    this.#over();
  }
}
