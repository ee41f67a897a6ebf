import { RpcError } from "../../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings, type Encoding } from "../../compression.ts";
import type { ServerCall } from "../../server-call.ts";
import { Base64Pieces } from "./base64-pieces.ts";
import { GrpcWebServerWire } from "./server.ts";

const head: readonly HeaderField[] = [
  constantField("content-type", "application/grpc-web-text+proto"),
  constantField("grpc-accept-encoding", acceptedEncodings),
];

/**
 * gRPC-Web in its text form, for browsers that cannot read a binary body while it comes: both bodies are base64, each
 * frame of ours padded by itself.
 */
export class GrpcWebTextServerWire extends GrpcWebServerWire {
  readonly #pieces = new Base64Pieces();

  protected override headFields(): readonly HeaderField[] {
    return head;
  }

  override data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    const bytes = this.#pieces.decode(chunk.toString("latin1", start, end));
    super.data(call, bytes, 0, bytes.length);
  }

  override ended(call: ServerCall): void {
    if (!this.#pieces.isAtBoundary) throw new RpcError("invalid_argument", "the base64 of the request is cut");
    super.ended(call);
  }

  protected override write(call: ServerCall, message: object, encoding: Encoding | undefined): void {
    this.sendFrame(call, this.envelopeOf(call, message, encoding), false);
  }

  protected override sendFrame(call: ServerCall, frame: Buffer, end: boolean): void {
    call.exchange.sendData(Buffer.from(frame.toString("base64"), "latin1"), end);
  }
}
