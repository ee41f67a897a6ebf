import { RpcError } from "../../../../errors/index.ts";
import { constantField, type FieldList, type HeaderField } from "../../../../wire/index.ts";
import type { ClientCall } from "../../client-call.ts";
import { acceptedEncodings } from "../../compression.ts";
import { Metadata } from "../../metadata.ts";
import { pushbackName, readPushbackMs } from "../../pushback.ts";
import { EnvelopedClientWire } from "../enveloped-client.ts";
import { type CodecName, unknownFlags } from "../message.ts";
import { connectTimeoutField } from "../timeout.ts";
import { readConnectError } from "./error.ts";
import { endStreamFlag } from "./server.ts";

const version = constantField("connect-protocol-version", "1");
const accepts = constantField("connect-accept-encoding", acceptedEncodings);
const fixed: Readonly<Record<CodecName, readonly HeaderField[]>> = {
  binary: [constantField("content-type", "application/connect+proto"), version, accepts],
  json: [constantField("content-type", "application/connect+json"), version, accepts],
};

/** Connect streams, the client's side: the last message of the body is JSON with error and trailers. */
export class ConnectStreamClientWire extends EnvelopedClientWire {
  protected override readonly encodingName = "connect-content-encoding";
  protected override readonly timeoutField = connectTimeoutField;
  #error: RpcError | undefined;

  protected override fixedFields(call: ClientCall): readonly HeaderField[] {
    return fixed[call.settings.codec];
  }

  protected override checkType(call: ClientCall, contentType: string): RpcError | undefined {
    return checkConnectType(call, "application/connect+", contentType);
  }

  protected override frame(call: ClientCall, flags: number, payload: Buffer): void {
    if (flags !== endStreamFlag) throw unknownFlags(flags);
    this.isComplete = true;
    const { error, metadata } = readEndOfStream(payload);
    const pushback = metadata.get(pushbackName);
    metadata.delete(pushbackName);
    const retryAfterMs = typeof pushback === "string" ? readPushbackMs(pushback) : undefined;
    call.trailersArrived(() => metadata);
    this.#error = error === undefined ? undefined : readConnectError(error, "unknown", metadata, retryAfterMs);
  }

  protected override finished(call: ClientCall, _trailers: FieldList | undefined): void {
    if (!this.isComplete) call.fail(new RpcError("internal", "the answer ended without the message that ends it"));
    else call.finish(this.#error);
  }
}

/** The content type of an answer of Connect: another codec is a fault of the peer, anything else not Connect at all. */
export function checkConnectType(call: ClientCall, prefix: string, contentType: string): RpcError | undefined {
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === `${prefix}${call.settings.codec === "json" ? "json" : "proto"}`) return undefined;
  const isConnect = type === `${prefix}json` || type === `${prefix}proto`;
  return new RpcError(
    isConnect ? "internal" : "unknown",
    `${call.target} answered with content type ${JSON.stringify(contentType)}`,
  );
}

function readEndOfStream(payload: Buffer): { error: unknown; metadata: Metadata } {
  let end: unknown;
  try {
    end = JSON.parse(payload.toString("utf8"));
  } catch (cause) {
    throw new RpcError("internal", "the message that ends the stream is not JSON", { cause });
  }
  const { error, metadata: values } = Object(end) as { error?: unknown; metadata?: unknown };
  const metadata = new Metadata();
  for (const [name, list] of Object.entries(Object(values) as object)) {
    for (const value of Array.isArray(list) ? list : []) {
      if (typeof value === "string") metadata.appendReceived(name.toLowerCase(), value);
    }
  }
  return { error: error ?? undefined, metadata };
}
