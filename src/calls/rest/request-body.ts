import { isRpcError, type RpcError } from "../../errors/index.ts";
import { decompress, type ServerCall, WholeBody } from "../rpc/index.ts";
import { RestRequestError, refused } from "./problem.ts";
import type { Parameter, RestRoute } from "./route.ts";

/** What the head of a request says about the message that it carries. */
export interface RequestHead {
  readonly route: RestRoute;
  readonly segments: readonly string[];
  readonly query: string;
  /** `""` where the request names none. */
  readonly contentType: string;
  /** The compression of the body. */
  readonly encoding: string | undefined;
  readonly bodyBytesMax: number;
}

/** The body of a request as messages: pieces go in, messages of the call come out. */
export interface RequestBody {
  data(call: ServerCall, chunk: Buffer, start: number, end: number): void;
  /** @throws RpcError */
  ended(call: ServerCall): void;
}

/** One message: a whole body, or none. */
export class SingleMessage implements RequestBody {
  readonly #head: RequestHead;
  #body: WholeBody | undefined;

  constructor(head: RequestHead) {
    this.#head = head;
  }

  data(_call: ServerCall, chunk: Buffer, start: number, end: number): void {
    if (this.#head.route.bodyKind === "none") return;
    this.#body ??= new WholeBody(this.#head.bodyBytesMax);
    this.#body.append(chunk, start, end);
  }

  ended(call: ServerCall): void {
    const { route, segments, query, contentType, encoding, bodyBytesMax } = this.#head;
    const parameters = route.parameters(segments, query);
    let bytes = this.#body?.bytes();
    if (bytes !== undefined && encoding !== undefined) bytes = inflated(encoding, bytes, bodyBytesMax);
    if (bytes?.length === 0) bytes = undefined;
    const message =
      route.bodyKind === "http-body"
        ? route.requestWith(parameters, { contentType, data: bytes ?? new Uint8Array() })
        : route.request(parameters, bytes);
    call.message(message, 0);
  }
}

/** A stream of messages: one JSON text a line (NDJSON). Empty lines are passed over. */
export class MessageLines implements RequestBody {
  readonly #head: RequestHead;
  #parameters: readonly Parameter[] | undefined;
  #line: WholeBody;
  #lineBytes = 0;
  #lines = 0;

  constructor(head: RequestHead) {
    this.#head = head;
    this.#line = new WholeBody(head.bodyBytesMax);
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    for (let from = start; from < end; ) {
      const newline = chunk.indexOf(0x0a, from);
      const to = newline === -1 || newline >= end ? end : newline;
      this.#line.append(chunk, from, to);
      this.#lineBytes += to - from;
      if (to < end) this.#end(call);
      if (call.isSettled) return;
      from = to + 1;
    }
  }

  ended(call: ServerCall): void {
    if (this.#lineBytes > 0) this.#end(call);
  }

  #end(call: ServerCall): void {
    this.#lines++;
    // A flood of empty lines must cost no more than its bytes.
    if (this.#lineBytes === 0) return;
    const bytes = this.#line.bytes();
    const size = this.#lineBytes + 1;
    this.#line = new WholeBody(this.#head.bodyBytesMax);
    this.#lineBytes = 0;
    if (isBlank(bytes)) return;
    const { route, segments, query } = this.#head;
    try {
      this.#parameters ??= route.parameters(segments, query);
      call.message(route.request(this.#parameters, bytes), size);
    } catch (error) {
      if (!(error instanceof RestRequestError)) throw error;
      throw new RestRequestError(`line ${this.#lines}: ${error.message}`, error.violations, { cause: error });
    }
  }
}

/** A stream of bytes of any type: each piece is a message, in the pieces in which it came. */
export class MessagePieces implements RequestBody {
  readonly #head: RequestHead;
  #parameters: readonly Parameter[] | undefined;
  #hasBegun = false;

  constructor(head: RequestHead) {
    this.#head = head;
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#push(call, Buffer.from(chunk.subarray(start, end)), end - start);
  }

  ended(call: ServerCall): void {
    if (!this.#hasBegun) this.#push(call, Buffer.alloc(0), 0);
  }

  #push(call: ServerCall, data: Buffer, size: number): void {
    const { route, segments, query, contentType } = this.#head;
    this.#hasBegun = true;
    this.#parameters ??= route.parameters(segments, query);
    call.message(route.requestWith(this.#parameters, { contentType, data }), size);
  }
}

/** @throws RpcError resource_exhausted over the limit, RestRequestError for what is not compressed as it says */
function inflated(encoding: string, bytes: Buffer, bodyBytesMax: number): Buffer {
  try {
    return decompress(encoding, bytes, bodyBytesMax);
  } catch (error) {
    if (!isRpcError(error, "invalid_argument")) throw error;
    throw refused("", `the body is not valid ${encoding}`, "content_encoding", { cause: error });
  }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** Body of the wrong kind for its route. */
export function unsupportedType(expected: readonly string[]): RpcError {
  return refused("", `the body must be ${expected.join(" or ")}`, "content_type", { httpStatus: 415 });
}
