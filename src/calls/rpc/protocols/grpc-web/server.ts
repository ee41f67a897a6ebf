import type { RpcError } from "../../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings } from "../../compression.ts";
import type { ServerCall } from "../../server-call.ts";
import { EnvelopedServerWire } from "../enveloped-server.ts";
import { statusFields } from "../grpc-status.ts";
import { type CodecName, envelope } from "../message.ts";

/** Flag of the frame that holds the trailers (grpc/doc/PROTOCOL-WEB). */
export const trailersFlag = 0x80;

const accepts = constantField("grpc-accept-encoding", acceptedEncodings);
const heads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/grpc-web+proto"), accepts],
  json: [constantField("content-type", "application/grpc-web+json"), accepts],
};

/** gRPC-Web in its binary form, the server's side: gRPC's messages with the trailers as a last frame of the body. */
export class GrpcWebServerWire extends EnvelopedServerWire {
  override readonly protocol = "grpc-web";
  protected override readonly encodingName = "grpc-encoding";
  protected override readonly acceptName = "grpc-accept-encoding";

  protected override headFields(): readonly HeaderField[] {
    return heads[this.codec];
  }

  protected override end(call: ServerCall, error: RpcError | undefined): void {
    const fields = statusFields(error, call.hasResponseTrailers ? call.responseTrailers : undefined);
    let text = "";
    for (const { name, value } of fields) text += `${name}: ${value}\r\n`;
    this.sendFrame(call, envelope(trailersFlag, Buffer.from(text, "latin1")), true);
  }

  protected sendFrame(call: ServerCall, frame: Buffer, end: boolean): void {
    call.exchange.sendData(frame, end);
  }
}
