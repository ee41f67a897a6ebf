import type { RpcError } from "../../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings } from "../../compression.ts";
import { envelopeBytes } from "../../envelope.ts";
import type { ServerCall } from "../../server-call.ts";
import { type CodecName, EnvelopedServerWire } from "../enveloped.ts";
import { statusFields } from "../grpc-status.ts";

/** Flag of the frame that holds the trailers (grpc/doc/PROTOCOL-WEB). */
const trailersFlag = 0x80;

const accepts = constantField("grpc-accept-encoding", acceptedEncodings.join(","));
const heads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/grpc-web+proto"), accepts],
  json: [constantField("content-type", "application/grpc-web+json"), accepts],
};

/** gRPC-Web in its binary form, the server's side: gRPC's messages with the trailers as a last frame of the body. */
export class GrpcWebServerWire extends EnvelopedServerWire {
  override readonly protocol = "grpc-web";

  protected override headFields(): readonly HeaderField[] {
    return heads[this.codec];
  }

  protected override end(call: ServerCall, error: RpcError | undefined): void {
    const fields = statusFields(error, call.hasResponseTrailers ? call.responseTrailers : undefined);
    let text = "";
    for (const { name, value } of fields) text += `${name}: ${value}\r\n`;
    const frame = Buffer.allocUnsafe(envelopeBytes + text.length);
    frame[0] = trailersFlag;
    frame.writeUInt32BE(text.length, 1);
    frame.write(text, envelopeBytes, "latin1");
    call.exchange.sendData(frame, true);
  }
}
