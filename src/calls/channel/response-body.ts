import { RpcError } from "../../errors/index.ts";
import { type BodySource, BodyStream, type ClientExchange } from "../../wire/index.ts";

/** The body of an answer as a web stream; the peer's window opens as fast as it is read. */
export class ResponseBody implements BodySource {
  readonly #body = new BodyStream(this);
  readonly #exchange: ClientExchange;
  readonly #bytesMax: number;
  readonly #over: () => void;
  #bytes = 0;

  /** @param over told once, when nothing more comes of the stream: read to its end, failed, or let go of */
  constructor(exchange: ClientExchange, bytesMax: number, over: () => void) {
    this.#exchange = exchange;
    this.#bytesMax = bytesMax;
    this.#over = over;
  }

  get stream(): ReadableStream<Uint8Array> {
    return this.#body.stream;
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (!this.#body.isOver && this.#bytes > this.#bytesMax) {
      this.fail(
        new RpcError(
          "resource_exhausted",
          `the body of the answer is larger than ${this.#bytesMax} bytes; responseBytesMax sets the limit`,
        ),
      );
    }
    if (this.#body.isOver) this.consumed(end - start);
    else this.#body.data(chunk, start, end);
  }

  complete(): void {
    this.#body.complete();
  }

  fail(error: unknown): void {
    if (this.#body.isOver) return;
    this.#body.fail(error);
    this.over(false);
  }

  /** Nobody reads it: what comes passes unread. */
  discard(): void {
    if (this.#body.isOver) return;
    this.#body.discard();
    this.over(true);
  }

  /** For the stream. */
  consumed(bytes: number): void {
    if (!this.#exchange.isClosed) this.#exchange.consumed(bytes);
  }

  /** For the stream. */
  over(isComplete: boolean): void {
    if (!isComplete && !this.#exchange.isClosed) this.#exchange.reset("cancel");
    this.#over();
  }
}
