import { RpcError } from "../../../errors/index.ts";
import { ByteWriter } from "../../../platform/index.ts";

/** Gathers a whole body within a limit. */
export class WholeBody {
  readonly limit: number;
  readonly #writer = new ByteWriter(256);

  constructor(limit: number) {
    this.limit = limit;
  }

  /** @throws RpcError resource_exhausted */
  append(chunk: Buffer, start: number, end: number): void {
    if (this.#writer.position + end - start > this.limit) {
      const reason = `message exceeds the limit of ${this.limit} bytes`;
      throw new RpcError("resource_exhausted", reason, { httpStatus: 413 });
    }
    this.#writer.append(chunk.subarray(start, end));
  }

  bytes(): Buffer {
    return this.#writer.bytes.subarray(0, this.#writer.position);
  }
}
