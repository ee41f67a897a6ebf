import {
  create,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, anyUnpack } from "@bufbuild/protobuf/wkt";
import { codeRow } from "../../src/errors/index.ts";
import {
  type CallOptions,
  type Channel,
  type ChannelOptions,
  type Client,
  type ClientOptions,
  createChannel,
  createClient,
  isRpcError,
  type Metadata,
  type RpcError,
} from "../../src/exports/index.ts";
import { frame, readFrames } from "./frames.ts";
import {
  type ClientCompatRequest,
  ClientCompatRequestSchema,
  ClientCompatResponseSchema,
  type ClientResponseResultSchema,
} from "./gen/connectrpc/conformance/v1/client_compat_pb.ts";
import { Codec, Compression, HTTPVersion, Protocol, StreamType } from "./gen/connectrpc/conformance/v1/config_pb.ts";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload,
  ConformancePayloadSchema,
  ConformanceService,
  ErrorSchema,
  type Header,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  UnaryRequestSchema,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { metadataOf, valuesOf } from "./headers.ts";

/**
 * The client under test: reads from stdin what to call, makes the calls, and writes to stdout what came of them. Calls
 * run side by side, as many as the referee hands out at once.
 */
type Result = MessageInitShape<typeof ClientResponseResultSchema>;
type Conformance = Client<typeof ConformanceService>;

const protocols: Readonly<Record<number, ChannelOptions["protocol"]>> = {
  [Protocol.CONNECT]: "connect",
  [Protocol.GRPC]: "grpc",
  [Protocol.GRPC_WEB]: "grpc-web",
};
const compressions: Readonly<Record<number, ClientOptions["compression"]>> = {
  [Compression.GZIP]: "gzip",
  [Compression.BR]: "br",
  [Compression.ZSTD]: "zstd",
  [Compression.DEFLATE]: "deflate",
};

const channels = new Map<string, Channel>();

function channelOf(request: ClientCompatRequest): Channel {
  const { host, port, serverTlsCert, clientTlsCreds } = request;
  const protocol = protocols[request.protocol];
  const httpVersion = request.httpVersion === HTTPVersion.HTTP_VERSION_1 ? "1.1" : "2";
  const key = [host, port, protocol, httpVersion, clientTlsCreds !== undefined].join(" ");
  let channel = channels.get(key);
  if (channel === undefined) {
    const tls = { ca: serverTlsCert, cert: clientTlsCreds?.cert, key: clientTlsCreds?.key };
    const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    channel = createChannel(target, { protocol, httpVersion, tls: serverTlsCert.length > 0 ? tls : undefined });
    channels.set(key, channel);
  }
  return channel;
}

function clientOf(request: ClientCompatRequest): Conformance {
  return createClient(ConformanceService, channelOf(request), {
    codec: request.codec === Codec.JSON ? "json" : "binary",
    compression: compressions[request.compression],
    compressBytesMin: 0,
    useHttpGet: request.useGetHttpMethod,
    limits: {
      defaultTimeoutMs: Number.POSITIVE_INFINITY,
      ...(request.messageReceiveLimit > 0 ? { receiveBytesMax: request.messageReceiveLimit } : {}),
    },
  });
}

/** What one call does and learns. */
class Run {
  readonly request: ClientCompatRequest;
  readonly client: Conformance;
  readonly cancelling = new AbortController();
  readonly payloads: ConformancePayload[] = [];
  headers: Header[] = [];
  trailers: Header[] = [];
  unsent = 0;

  constructor(request: ClientCompatRequest) {
    this.request = request;
    this.client = clientOf(request);
  }

  get options(): CallOptions {
    return {
      timeoutMs: this.request.timeoutMs,
      signal: this.cancelling.signal,
      metadata: metadataOf(this.request.requestHeaders),
      onHeaders: (headers: Metadata) => {
        this.headers = valuesOf(headers);
      },
      onTrailers: (trailers: Metadata) => {
        this.trailers = valuesOf(trailers);
      },
    };
  }

  messages<S extends DescMessage>(schema: S): MessageInitShape<S>[] {
    return this.request.requestMessages.map((any: Any) => {
      const message: Message | undefined = anyUnpack(any, schema);
      if (message === undefined) throw new Error(`the request is ${any.typeUrl}, not ${schema.typeName}`);
      return message as MessageInitShape<S>;
    });
  }

  take(payload: ConformancePayload | undefined): void {
    this.payloads.push(payload ?? create(ConformancePayloadSchema));
    const timing = this.request.cancel?.cancelTiming;
    if (timing?.case === "afterNumResponses" && timing.value === this.payloads.length) this.cancelling.abort();
  }

  /** To be called when the request is complete, with `true` where it can still be withdrawn before its end. */
  async requestSent(beforeClose: boolean): Promise<void> {
    const { cancel } = this.request;
    if (cancel === undefined) return;
    const timing = cancel.cancelTiming;
    if (beforeClose) {
      if (timing.case === "beforeCloseSend") this.cancelling.abort();
    } else if (timing.case === "afterCloseSendMs" || timing.case === undefined) {
      setTimeout(() => this.cancelling.abort(), timing.value ?? 0);
    }
  }

  /** The messages of a stream, with what the case wants between them; `answered` is awaited after each. */
  async *stream<T>(messages: readonly T[], answered: () => Promise<void> = async () => {}): AsyncIterable<T> {
    this.unsent = messages.length;
    for (const message of messages) {
      await sleep(this.request.requestDelayMs);
      yield message;
      this.unsent--;
      await answered();
    }
    await this.requestSent(true);
    await this.requestSent(false);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms);
  });
}

async function bidi(run: Run): Promise<void> {
  const isFullDuplex = run.request.streamType === StreamType.FULL_DUPLEX_BIDI_STREAM;
  let received = 0;
  let isOver = false;
  let wake = (): void => {};
  let wanted = 0;
  // Full duplex: the next message is sent when the answer to this one has come.
  const answered = async (): Promise<void> => {
    wanted++;
    while (isFullDuplex && received < wanted && !isOver) {
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    }
  };
  try {
    const requests = run.stream(run.messages(BidiStreamRequestSchema), answered);
    for await (const { payload } of run.client.bidiStream(requests, run.options)) {
      received++;
      run.take(payload);
      wake();
    }
  } finally {
    isOver = true;
    wake();
  }
}

async function call(run: Run): Promise<void> {
  const { client, options } = run;
  switch (run.request.method) {
    case "Unary":
    case "IdempotentUnary": {
      const isIdempotent = run.request.method === "IdempotentUnary";
      const [message] = run.messages(isIdempotent ? IdempotentUnaryRequestSchema : UnaryRequestSchema);
      await run.requestSent(false);
      const answer = isIdempotent
        ? client.idempotentUnary(message as never, options)
        : client.unary(message as never, options);
      run.take((await answer).payload);
      break;
    }
    case "ServerStream": {
      const [message] = run.messages(ServerStreamRequestSchema);
      await run.requestSent(false);
      for await (const { payload } of client.serverStream(message as never, options)) run.take(payload);
      break;
    }
    case "ClientStream":
      run.take((await client.clientStream(run.stream(run.messages(ClientStreamRequestSchema)), options)).payload);
      break;
    case "BidiStream":
      await bidi(run);
      break;
    case "Unimplemented":
      await client.unimplemented({}, options);
      break;
    default:
      throw new Error(`there is no method ${run.request.method}`);
  }
}

async function result(request: ClientCompatRequest): Promise<Result> {
  const run = new Run(request);
  let error: RpcError | undefined;
  try {
    await call(run);
  } catch (thrown) {
    if (!isRpcError(thrown)) throw thrown;
    error = thrown;
  }
  const outcome: Result = {
    responseHeaders: run.headers,
    responseTrailers: run.trailers,
    payloads: run.payloads,
    numUnsentRequests: run.unsent,
  };
  if (error === undefined) return outcome;
  if (run.trailers.length === 0) outcome.responseTrailers = valuesOf(error.metadata);
  outcome.error = create(ErrorSchema, {
    code: codeRow(error.code).grpc,
    message: error.message,
    details: error.details.flatMap(detail =>
      "type" in detail ? [{ typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value }] : [],
    ),
  });
  return outcome;
}

async function answer(bytes: Buffer): Promise<void> {
  const request = fromBinary(ClientCompatRequestSchema, bytes);
  const { testName } = request;
  let response: MessageInitShape<typeof ClientCompatResponseSchema>;
  try {
    response = { testName, result: { case: "response", value: await result(request) } };
  } catch (error) {
    response = { testName, result: { case: "error", value: { message: String((error as Error).stack ?? error) } } };
  }
  process.stdout.write(frame(toBinary(ClientCompatResponseSchema, create(ClientCompatResponseSchema, response))));
}

const running = new Set<Promise<void>>();
for await (const bytes of readFrames(process.stdin)) {
  const one = answer(bytes).finally(() => running.delete(one));
  running.add(one);
}
await Promise.all(running);
for (const channel of channels.values()) channel.close();
