import { RpcError } from "../../../../errors/index.ts";
import { constantField, FieldItems, type FieldList, HeaderField } from "../../../../wire/index.ts";
import type { ClientCall } from "../../client-call.ts";
import { acceptedEncodings } from "../../compression.ts";
import { checkGrpcType, EnvelopedClientWire } from "../enveloped-client.ts";
import { finishWithStatus } from "../grpc-status.ts";
import { type CodecName, unknownFlags } from "../message.ts";
import { grpcTimeoutField } from "../timeout.ts";
import { trailersFlag } from "./server.ts";

const web = constantField("x-grpc-web", "1");
const accepts = constantField("grpc-accept-encoding", acceptedEncodings);
const fixed: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/grpc-web+proto"), web, accepts],
  json: [constantField("content-type", "application/grpc-web+json"), web, accepts],
};

/** gRPC-Web in its binary form, the client's side (grpc/doc/PROTOCOL-WEB): the last frame of the body has the trailers. */
export class GrpcWebClientWire extends EnvelopedClientWire {
  protected override readonly encodingName = "grpc-encoding";
  protected override readonly timeoutField = grpcTimeoutField;
  #trailers: FieldList | undefined;

  protected override fixedFields(call: ClientCall): readonly HeaderField[] {
    return fixed[call.settings.codec];
  }

  protected override checkType(call: ClientCall, contentType: string): RpcError | undefined {
    return checkGrpcType(call, "application/grpc-web", contentType);
  }

  override head(call: ClientCall, status: number, fields: FieldList): void {
    super.head(call, status, fields);
    if (fields.find("grpc-status") === undefined) return;
    this.headError = undefined;
    this.#trailers = fields;
  }

  protected override frame(_call: ClientCall, flags: number, payload: Buffer): void {
    if (flags !== trailersFlag) throw unknownFlags(flags);
    this.#trailers = readTrailers(payload.toString("latin1"));
    this.isComplete = true;
  }

  protected override finished(call: ClientCall): void {
    finishWithStatus(call, this.#trailers);
  }
}

/** Trailers as lines of HTTP/1.1. @throws RpcError internal for a line that is no field */
function readTrailers(text: string): FieldList {
  const list = new FieldItems();
  for (const line of text.split(/\r?\n/)) {
    if (line === "") continue;
    const colon = line.indexOf(":");
    if (colon < 1) throw new RpcError("internal", "the trailers of the answer are malformed");
    list.items.push(new HeaderField(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()));
  }
  return list;
}
