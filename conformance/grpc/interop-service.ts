import { setTimeout as sleep } from "node:timers/promises";
import { codeFromGrpc } from "../../src/errors/index.ts";
import { type Call, type Implementation, implement, RpcError } from "../../src/exports/index.ts";
import { type EchoStatus, type StreamingOutputCallRequest, TestService } from "./gen/interop_pb.ts";

const echoHeader = "x-grpc-test-echo-initial";
const echoTrailer = "x-grpc-test-echo-trailing-bin";

function echoMetadata({ metadata, responseHeaders, responseTrailers }: Call): void {
  for (const value of metadata.getAll(echoHeader)) responseHeaders.append(echoHeader, value);
  for (const value of metadata.getAll(echoTrailer)) responseTrailers.append(echoTrailer, value);
}

function throwStatus(status: EchoStatus | undefined): void {
  if (status !== undefined && status.code !== 0) throw new RpcError(codeFromGrpc(status.code), status.message);
}

async function* outputs(request: StreamingOutputCallRequest, call: Call) {
  throwStatus(request.responseStatus);
  for (const { size, intervalUs, compressed } of request.responseParameters) {
    if (intervalUs > 0) await sleep(intervalUs / 1000, undefined, { signal: call.signal });
    call.compressResponses = compressed?.value;
    yield { payload: { body: new Uint8Array(size) } };
  }
}

/** The server's side of gRPC's interoperability tests (grpc/doc/interop-test-descriptions.md, "Server"). */
export const interopService: Implementation = implement(TestService, {
  emptyCall: () => ({}),

  unaryCall(request, call) {
    echoMetadata(call);
    throwStatus(request.responseStatus);
    call.compressResponses = request.responseCompressed?.value;
    return {
      payload: { body: new Uint8Array(request.responseSize) },
      serverId: request.fillServerId ? "trunkline" : "",
    };
  },

  async *streamingOutputCall(request, call) {
    yield* outputs(request, call);
  },

  async streamingInputCall(requests) {
    let aggregatedPayloadSize = 0;
    for await (const { payload } of requests) aggregatedPayloadSize += payload?.body.length ?? 0;
    return { aggregatedPayloadSize };
  },

  async *fullDuplexCall(requests, call) {
    echoMetadata(call);
    for await (const request of requests) yield* outputs(request, call);
  },

  async *halfDuplexCall(requests, call) {
    const received: StreamingOutputCallRequest[] = [];
    for await (const request of requests) received.push(request);
    for (const request of received) yield* outputs(request, call);
  },
});
