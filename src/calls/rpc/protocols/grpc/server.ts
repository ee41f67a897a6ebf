import type { RpcError } from "../../../../errors/index.ts";
import { constantField, type HeaderField } from "../../../../wire/index.ts";
import { acceptedEncodings } from "../../compression.ts";
import type { ServerCall } from "../../server-call.ts";
import { EnvelopedServerWire } from "../enveloped-server.ts";
import { statusFields } from "../grpc-status.ts";
import type { CodecName } from "../message.ts";

const accepts = constantField("grpc-accept-encoding", acceptedEncodings);
const heads: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/grpc+proto"), accepts],
  json: [constantField("content-type", "application/grpc+json"), accepts],
};

/** gRPC over HTTP/2, the server's side (grpc/doc/PROTOCOL-HTTP2). */
export class GrpcServerWire extends EnvelopedServerWire {
  override readonly protocol = "grpc";
  protected override readonly encodingName = "grpc-encoding";
  protected override readonly acceptName = "grpc-accept-encoding";

  protected override headFields(): readonly HeaderField[] {
    return heads[this.codec];
  }

  protected override end(call: ServerCall, error: RpcError | undefined): void {
    call.exchange.sendTrailers(statusFields(error, call.hasResponseTrailers ? call.responseTrailers : undefined));
  }

  /** Trailers-only: head and status in one block. Clients take it for trailers, so a call with headers gets a head. */
  protected override endWithoutBody(call: ServerCall, error: RpcError): void {
    if (call.hasResponseHeaders) {
      super.endWithoutBody(call, error);
      return;
    }
    const trailers = call.hasResponseTrailers ? call.responseTrailers : undefined;
    call.exchange.sendHead(200, [...heads[this.codec], ...statusFields(error, trailers)], true);
  }
}
