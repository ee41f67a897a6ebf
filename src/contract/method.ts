import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import type { ErrorCode } from "../errors/index.ts";
import type { Priority } from "../platform/index.ts";
import type { BinaryCodec, JsonCodec, JsonDialect } from "./codec/index.ts";

/** The four kinds of call: which side sends one message and which a stream. */
export type CallKind = "unary" | "server_streaming" | "client_streaming" | "bidi_streaming";

/**
 * What repeating a call does: `no_side_effects` reads only (Connect GET, retries), `idempotent` may be repeated
 * (retries), `unknown` is sent at most once unless the peer certainly did not act on it.
 */
export type Idempotency = "unknown" | "no_side_effects" | "idempotent";

/** The codecs of one message type; compiled on first use. */
export interface MessageCodecs {
  readonly typeName: string;
  readonly binary: BinaryCodec<Message>;
  /** ProtoJSON, for Connect and gRPC: unknown fields are ignored. */
  readonly json: JsonCodec<Message>;
}

/** Option `trunkline.v1.policy` of a method, as plain data; `undefined` where the contract is silent. */
export interface MethodPolicy {
  readonly timeoutMs: number | undefined;
  /** Of one attempt; at most `timeoutMs`. */
  readonly attemptTimeoutMs: number | undefined;
  /** All attempts, the first included. */
  readonly maxAttempts: number | undefined;
  readonly retryableCodes: readonly ErrorCode[];
  /** `maxAttempts`: beside the first; 0 where the contract is silent. */
  readonly hedge: { readonly delayMs: number | undefined; readonly maxAttempts: number } | undefined;
  readonly priority: Priority;
  readonly requestBytesMax: number | undefined;
}

/** A `google.api.http` rule of a method. */
export interface HttpBinding {
  /** Upper case; `*` for any (a custom rule of kind `*`). */
  readonly verb: string;
  readonly template: string;
  /** `*`: the whole request; a field name; `""`: no body. */
  readonly body: string;
  /** The field that becomes the answer's body; `""`: the whole response. */
  readonly responseBody: string;
}

/** Option `trunkline.v1.rest` of a method. */
export interface RestOptions {
  /** @default 200 */
  readonly successStatus: number;
  /** Template of the `Location` header over response fields, or `undefined`. */
  readonly location: string | undefined;
}

/** Option `trunkline.v1.auth` of a method over `trunkline.v1.service_auth` of its service. */
export interface AuthOptions {
  /** `true`: only known callers. `false`: everybody, said explicitly. `undefined`: the contract is silent. */
  readonly required: boolean | undefined;
  /** What a caller must have been granted, all of them. */
  readonly scopes: readonly string[];
}

/**
 * The compiled view of one rpc. Built once at start from the descriptor; calls never look at descriptors again.
 */
export interface Method {
  /** Full name of the service, for example `order.OrderService`. */
  readonly service: string;
  /** As in the .proto file: `GetOrder`. */
  readonly name: string;
  /** As in TypeScript: `getOrder`. */
  readonly localName: string;
  /** `/order.OrderService/GetOrder` */
  readonly path: string;
  readonly kind: CallKind;
  readonly idempotency: Idempotency;
  readonly input: MessageCodecs;
  readonly output: MessageCodecs;
  readonly policy: MethodPolicy;
  readonly http: readonly HttpBinding[];
  readonly rest: RestOptions;
  readonly auth: AuthOptions;
  readonly desc: DescMethod;
}

/** The compiled view of one service. */
export interface Service {
  readonly typeName: string;
  readonly methods: readonly Method[];
  /** The JSON of its `google.api.http` routes. */
  readonly dialect: JsonDialect;
  readonly desc: DescService;
}

/** Whether the client sends a stream. */
export function requestIsStream(kind: CallKind): boolean {
  return kind === "client_streaming" || kind === "bidi_streaming";
}

/** Whether the server sends a stream. */
export function responseIsStream(kind: CallKind): boolean {
  return kind === "server_streaming" || kind === "bidi_streaming";
}
