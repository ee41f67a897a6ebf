import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { ServerCall } from "../../src/calls/rpc/server-call.ts";
import { codeFromGrpc } from "../../src/errors/index.ts";
import { type Call, type Implementation, implement, RpcError } from "../../src/exports/index.ts";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload_RequestInfo,
  ConformancePayload_RequestInfoSchema,
  ConformanceService,
  type Error as ErrorDefinition,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { setMetadata, valuesOf } from "./headers.ts";

type Payload = { data: Uint8Array; requestInfo?: ConformancePayload_RequestInfo };

const nothing = new Uint8Array(0);

/** What the referee wants to hear about the request: headers, deadline, messages, and the query of a GET. */
function requestInfo<S extends DescMessage>(
  call: Call,
  schema: S,
  requests: readonly MessageShape<S>[],
): ConformancePayload_RequestInfo {
  const { exchange } = call as ServerCall;
  const { fields } = exchange;
  const hasTimeout = (fields.get("grpc-timeout") ?? fields.get("connect-timeout-ms")) !== undefined;
  const info: MessageInitShape<typeof ConformancePayload_RequestInfoSchema> = {
    requestHeaders: valuesOf(call.metadata),
    requests: requests.map(request => anyPack(schema, request)),
  };
  if (hasTimeout) info.timeoutMs = BigInt(Math.max(0, Math.round(call.timeLeftMs)));
  if (exchange.method === "GET") {
    const target = exchange.path.value;
    const query = new URLSearchParams(target.slice(target.indexOf("?") + 1));
    info.connectGetInfo = { queryParams: [...query].map(([name, value]) => ({ name, value: [value] })) };
  }
  return create(ConformancePayload_RequestInfoSchema, info);
}

function failure({ code, message, details }: ErrorDefinition, info?: ConformancePayload_RequestInfo): RpcError {
  const packed = info === undefined ? details : [...details, anyPack(ConformancePayload_RequestInfoSchema, info)];
  return new RpcError(codeFromGrpc(code), message ?? "", {
    details: packed.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value })),
  });
}

/** Waits as the case asks, or until the call is over for its caller. */
async function pause(call: Call, delayMs: number): Promise<void> {
  if (delayMs === 0) return;
  const { signal } = call;
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function answer(
  call: Call,
  definition: UnaryResponseDefinition | undefined,
  info: ConformancePayload_RequestInfo,
): Promise<{ payload: Payload }> {
  if (definition === undefined) return { payload: { data: nothing, requestInfo: info } };
  setMetadata(call.responseHeaders, definition.responseHeaders);
  setMetadata(call.responseTrailers, definition.responseTrailers);
  await pause(call, definition.responseDelayMs);
  const { response } = definition;
  if (response.case === "error") throw failure(response.value, info);
  return { payload: { data: response.value ?? nothing, requestInfo: info } };
}

/** The service that the referee calls, as its comments in service.proto describe it. */
export const conformanceService: Implementation = implement(ConformanceService, {
  unary: (request, call) => answer(call, request.responseDefinition, requestInfo(call, UnaryRequestSchema, [request])),

  idempotentUnary: (request, call) =>
    answer(call, request.responseDefinition, requestInfo(call, IdempotentUnaryRequestSchema, [request])),

  async clientStream(requests, call) {
    const received = [];
    for await (const request of requests) received.push(request);
    return answer(call, received[0]?.responseDefinition, requestInfo(call, ClientStreamRequestSchema, received));
  },

  async *serverStream(request, call) {
    const info = requestInfo(call, ServerStreamRequestSchema, [request]);
    const definition = request.responseDefinition;
    if (definition === undefined) return;
    setMetadata(call.responseHeaders, definition.responseHeaders);
    setMetadata(call.responseTrailers, definition.responseTrailers);
    let sent = 0;
    for (const data of definition.responseData) {
      await pause(call, definition.responseDelayMs);
      yield { payload: sent++ === 0 ? { data, requestInfo: info } : { data } };
    }
    if (definition.error !== undefined) throw failure(definition.error, sent === 0 ? info : undefined);
  },

  async *bidiStream(requests, call) {
    const first = await requests[Symbol.asyncIterator]().next();
    if (first.done === true) return;
    const definition = first.value.responseDefinition;
    const isFullDuplex = first.value.fullDuplex;
    const data = definition?.responseData ?? [];
    const delayMs = definition?.responseDelayMs ?? 0;
    if (definition !== undefined) {
      setMetadata(call.responseHeaders, definition.responseHeaders);
      setMetadata(call.responseTrailers, definition.responseTrailers);
    }
    let received = [first.value];
    let sent = 0;
    const next = async function* () {
      const bytes = data[sent];
      if (bytes === undefined) return;
      await pause(call, delayMs);
      const isTold = sent === 0 || isFullDuplex;
      sent++;
      const info = isTold ? requestInfo(call, BidiStreamRequestSchema, received) : undefined;
      if (isFullDuplex) received = [];
      yield { payload: info === undefined ? { data: bytes } : { data: bytes, requestInfo: info } };
    };
    if (isFullDuplex) yield* next();
    // Where responses have run out, full duplex fails at once instead of reading on.
    while (!isFullDuplex || sent < data.length || definition?.error === undefined) {
      const { done, value } = await requests[Symbol.asyncIterator]().next();
      if (done === true) break;
      received.push(value);
      if (isFullDuplex) yield* next();
    }
    while (sent < data.length) yield* next();
    if (definition?.error !== undefined) {
      const info = sent === 0 ? requestInfo(call, BidiStreamRequestSchema, received) : undefined;
      throw failure(definition.error, info);
    }
  },
});
