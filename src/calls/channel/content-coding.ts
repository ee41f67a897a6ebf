import { pipeline } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { RpcError } from "../../errors/index.ts";

/** What bodies of answers may be coded with (RFC 9110, section 8.4.1), in the order in which we like them. */
const decoders = {
  gzip: createGunzip,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
  /** In the zlib format, as the RFC says. */
  deflate: createInflate,
} as const;

export type ContentCoding = keyof typeof decoders;

/** The value of `accept-encoding`. */
export const acceptedCodings = Object.keys(decoders).join(", ");

/** How a body is coded; `undefined`: not at all, twice, or in a way that we do not read. */
export function contentCoding(field: string | null): ContentCoding | undefined {
  const name = field?.trim().toLowerCase();
  // RFC 9110, section 8.4.1.3: old servers say it so.
  if (name === "x-gzip") return "gzip";
  return name !== undefined && Object.hasOwn(decoders, name) ? (name as ContentCoding) : undefined;
}

/**
 * A body as it was before it was coded. Works as fast as it is read; what it makes is counted while it is made, so that a
 * small body that becomes a huge one costs no more than the limit. Reading it rejects with `resource_exhausted` above the limit,
 * `internal` for what is not the coding that it claims to be, otherwise with what ended the body itself.
 * @param what of whom the body is, for errors
 */
export function decodedBody(
  body: ReadableStream<Uint8Array>,
  coding: ContentCoding,
  bytesMax: number,
  what: string,
): ReadableStream<Uint8Array> {
  const decoding = new Decoding(body, coding, bytesMax, what);
  return new ReadableStream<Uint8Array>(
    { pull: controller => decoding.pull(controller), cancel: reason => decoding.cancel(reason) },
    { highWaterMark: 0 },
  );
}

class Decoding {
  readonly #body: ReadableStream<Uint8Array>;
  readonly #coding: ContentCoding;
  readonly #bytesMax: number;
  readonly #what: string;
  #pieces: AsyncIterator<Uint8Array> | undefined;
  #bytesIn = 0;
  #bytesOut = 0;
  /** What ended the body before its end. */
  #bodyError: unknown;

  constructor(body: ReadableStream<Uint8Array>, coding: ContentCoding, bytesMax: number, what: string) {
    this.#body = body;
    this.#coding = coding;
    this.#bytesMax = bytesMax;
    this.#what = what;
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    // Not before somebody reads: a body that nobody wants is not even taken from the connection.
    this.#pieces ??= this.#begin();
    try {
      const { done, value } = await this.#pieces.next();
      if (done === true) {
        controller.close();
        return;
      }
      this.#bytesOut += value.length;
      if (this.#bytesOut <= this.#bytesMax) {
        controller.enqueue(value);
        return;
      }
    } catch (cause) {
      if (this.#bodyError !== undefined) throw this.#bodyError;
      // A body of no bytes is none, whatever was said of its coding.
      if (this.#bytesIn === 0) controller.close();
      else
        throw new RpcError("internal", `${this.#what}: the body is not ${this.#coding}: ${reasonOf(cause)}`, { cause });
      return;
    }
    await this.#pieces.return?.();
    throw new RpcError(
      "resource_exhausted",
      `${this.#what}: the body is larger than ${this.#bytesMax} bytes after decompression; responseBytesMax sets the limit`,
    );
  }

  async cancel(reason: unknown): Promise<void> {
    if (this.#pieces === undefined) await this.#body.cancel(reason);
    else await this.#pieces.return?.();
  }

  #begin(): AsyncIterator<Uint8Array> {
    const decoder = decoders[this.#coding]();
    // Both ends hear of errors: the reader through the iterator, the connection through the body, which is let go of.
    pipeline(this.#counted(), decoder, () => {});
    return decoder[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  async *#counted(): AsyncIterable<Uint8Array> {
    try {
      for await (const chunk of this.#body) {
        this.#bytesIn += chunk.length;
        yield chunk;
      }
    } catch (error) {
      this.#bodyError = error;
      throw error;
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
