import type { RpcError } from "../../../../errors/index.ts";
import { constantField, type FieldList, type HeaderField } from "../../../../wire/index.ts";
import type { ClientCall } from "../../client-call.ts";
import { acceptedEncodings } from "../../compression.ts";
import { checkGrpcType, EnvelopedClientWire } from "../enveloped-client.ts";
import { finishWithStatus } from "../grpc-status.ts";
import { type CodecName, unknownFlags } from "../message.ts";
import { grpcTimeoutField } from "../timeout.ts";

const te = constantField("te", "trailers");
const accepts = constantField("grpc-accept-encoding", acceptedEncodings);
const fixed: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [te, constantField("content-type", "application/grpc+proto"), accepts],
  json: [te, constantField("content-type", "application/grpc+json"), accepts],
};

/** gRPC over HTTP/2, the client's side (grpc/doc/PROTOCOL-HTTP2). */
export class GrpcClientWire extends EnvelopedClientWire {
  protected override readonly encodingName = "grpc-encoding";
  protected override readonly timeoutField = grpcTimeoutField;
  #trailersOnly: FieldList | undefined;

  protected override fixedFields(call: ClientCall): readonly HeaderField[] {
    return fixed[call.settings.codec];
  }

  protected override checkType(call: ClientCall, contentType: string): RpcError | undefined {
    return checkGrpcType(call, "application/grpc", contentType);
  }

  override head(call: ClientCall, status: number, fields: FieldList): void {
    super.head(call, status, fields);
    if (fields.find("grpc-status") === undefined) return;
    // What says how the call ended counts more than the status of HTTP.
    this.headError = undefined;
    this.#trailersOnly = fields;
  }

  protected override frame(_call: ClientCall, flags: number): void {
    throw unknownFlags(flags);
  }

  protected override finished(call: ClientCall, trailers: FieldList | undefined): void {
    // A head with the status is "trailers-only" where nothing follows; otherwise only real trailers count.
    finishWithStatus(call, this.hasBody || trailers !== undefined ? trailers : this.#trailersOnly);
  }
}
