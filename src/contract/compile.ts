import {
  createRegistry,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
  type Registry,
} from "@bufbuild/protobuf";
import { type Duration, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type ErrorCode, errorCodes, isErrorCode } from "../errors/index.ts";
import type { Priority } from "../platform/index.ts";
import { binaryCodec, type JsonDialect, jsonCodec } from "./codec/index.ts";
import { ContractError } from "./contract-error.ts";
import { http as httpOption } from "./gen/google/api/annotations_pb.ts";
import type { HttpRule } from "./gen/google/api/http_pb.ts";
import {
  auth as authOption,
  type MethodPolicy_Hedge,
  MethodPolicy_Priority,
  policy as policyOption,
  RestDialect_EnumValues,
  RestDialect_FieldNames,
  rest_dialect as restDialectOption,
  rest as restOption,
  service_auth as serviceAuthOption,
} from "./gen/trunkline/v1/options_pb.ts";
import type {
  AuthOptions,
  HttpBinding,
  Idempotency,
  MessageCodecs,
  Method,
  MethodPolicy,
  RestOptions,
  Service,
} from "./method.ts";

const services = new WeakMap<DescService, Service>();

/**
 * The compiled view of a service, the same object for the same descriptor.
 * @throws ContractError when an option of the contract has an impossible value.
 */
export function compileService(desc: DescService): Service {
  let service = services.get(desc);
  if (service === undefined) {
    service = {
      typeName: desc.typeName,
      methods: desc.methods.map(compileMethod),
      dialect: compileDialect(desc),
      desc,
    };
    services.set(desc, service);
  }
  return service;
}

function compileMethod(desc: DescMethod): Method {
  return {
    service: desc.parent.typeName,
    name: desc.name,
    localName: desc.localName,
    path: `/${desc.parent.typeName}/${desc.name}`,
    kind: desc.methodKind,
    idempotency: idempotencyOf(desc),
    input: new LazyCodecs(desc.input, desc.parent.file),
    output: new LazyCodecs(desc.output, desc.parent.file),
    policy: compilePolicy(desc),
    http: compileBindings(desc),
    rest: compileRest(desc),
    auth: compileAuth(desc),
    desc,
  };
}

/** Compiles each codec when a call first needs it: most services speak only one of the two. */
class LazyCodecs implements MessageCodecs {
  readonly #desc: DescMessage;
  readonly #file: DescFile;
  #binary: MessageCodecs["binary"] | undefined;
  #json: MessageCodecs["json"] | undefined;

  constructor(desc: DescMessage, file: DescFile) {
    this.#desc = desc;
    this.#file = file;
  }

  get typeName(): string {
    return this.#desc.typeName;
  }

  get binary(): MessageCodecs["binary"] {
    this.#binary ??= binaryCodec(this.#desc);
    return this.#binary;
  }

  get json(): MessageCodecs["json"] {
    this.#json ??= jsonCodec(this.#desc, { unknownFields: "ignore", registry: registryOf(this.#file) });
    return this.#json;
  }
}

const registries = new WeakMap<DescFile, Registry>();

/** The types that a contract's file and its imports declare: what JSON may name in a `google.protobuf.Any`. */
export function registryOf(file: DescFile): Registry {
  let registry = registries.get(file);
  if (registry === undefined) {
    const files = new Set<DescFile>();
    const collect = (one: DescFile) => {
      if (files.has(one)) return;
      files.add(one);
      for (const dependency of one.dependencies) collect(dependency);
    };
    collect(file);
    registry = createRegistry(...files);
    registries.set(file, registry);
  }
  return registry;
}

function idempotencyOf(desc: DescMethod): Idempotency {
  switch (desc.idempotency) {
    case MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS:
      return "no_side_effects";
    case MethodOptions_IdempotencyLevel.IDEMPOTENT:
      return "idempotent";
    default:
      return "unknown";
  }
}

function compilePolicy(desc: DescMethod): MethodPolicy {
  if (!hasOption(desc, policyOption)) return silentPolicy;
  const option = getOption(desc, policyOption);
  const codes: ErrorCode[] = [];
  for (const name of option.retryableCodes) {
    if (!isErrorCode(name)) {
      const known = errorCodes.map(row => row.code).join(", ");
      throw contractError(desc, `policy.retryable_codes has "${name}"; the codes are ${known}`);
    }
    codes.push(name);
  }
  if (option.maxAttempts > 1 && idempotencyOf(desc) === "unknown") {
    throw contractError(
      desc,
      `policy.max_attempts is ${option.maxAttempts}, but the method has no idempotency_level; set it to NO_SIDE_EFFECTS or IDEMPOTENT if calls may be repeated`,
    );
  }
  if (option.maxAttempts > attemptsMax) {
    throw contractError(desc, `policy.max_attempts is ${option.maxAttempts}; it must be at most ${attemptsMax}`);
  }
  const timeoutMs = durationMs(desc, "policy.timeout", option.timeout);
  const attemptTimeoutMs = durationMs(desc, "policy.attempt_timeout", option.attemptTimeout);
  if (timeoutMs !== undefined && attemptTimeoutMs !== undefined && attemptTimeoutMs > timeoutMs) {
    throw contractError(
      desc,
      `policy.attempt_timeout is ${attemptTimeoutMs} ms, more than policy.timeout, ${timeoutMs} ms: the call would be over before an attempt`,
    );
  }
  return {
    timeoutMs,
    attemptTimeoutMs,
    maxAttempts: option.maxAttempts === 0 ? undefined : option.maxAttempts,
    retryableCodes: codes,
    hedge: option.hedge === undefined ? undefined : compileHedge(desc, option.hedge, timeoutMs, attemptTimeoutMs),
    priority: priorityOf(option.priority),
    requestBytesMax: option.maxRequestBytes === 0n ? undefined : Number(option.maxRequestBytes),
  };
}

/** What clients can do: each further attempt and hedge is load that a mistyped number must not make. */
const attemptsMax = 100;
const hedgesMax = 10;

function compileHedge(
  desc: DescMethod,
  { delay, maxAttempts }: MethodPolicy_Hedge,
  timeoutMs = Number.POSITIVE_INFINITY,
  attemptTimeoutMs = Number.POSITIVE_INFINITY,
): NonNullable<MethodPolicy["hedge"]> {
  if (idempotencyOf(desc) === "unknown") {
    throw contractError(
      desc,
      "policy.hedge is set, but the method has no idempotency_level; set it to NO_SIDE_EFFECTS or IDEMPOTENT if calls may be sent twice",
    );
  }
  if (desc.methodKind !== "unary") throw contractError(desc, "policy.hedge is set, but only unary calls are hedged");
  if (maxAttempts > hedgesMax) {
    throw contractError(desc, `policy.hedge.max_attempts is ${maxAttempts}; it must be at most ${hedgesMax}`);
  }
  const delayMs = durationMs(desc, "policy.hedge.delay", delay);
  const longestMs = Math.min(timeoutMs, attemptTimeoutMs);
  if (delayMs !== undefined && delayMs >= longestMs) {
    const limit = attemptTimeoutMs <= timeoutMs ? "policy.attempt_timeout" : "policy.timeout";
    throw contractError(desc, `policy.hedge.delay is ${delayMs} ms; it must be below ${limit}, ${longestMs} ms`);
  }
  return { delayMs, maxAttempts };
}

const silentPolicy: MethodPolicy = {
  timeoutMs: undefined,
  attemptTimeoutMs: undefined,
  maxAttempts: undefined,
  retryableCodes: [],
  hedge: undefined,
  priority: "default",
  requestBytesMax: undefined,
};

function priorityOf(priority: number): Priority {
  switch (priority) {
    case MethodPolicy_Priority.CRITICAL:
      return "critical";
    case MethodPolicy_Priority.SHEDDABLE:
      return "sheddable";
    default:
      return "default";
  }
}

function durationMs(desc: DescMethod, name: string, duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  const ms = Number(duration.seconds) * 1000 + duration.nanos / 1e6;
  if (!(ms > 0)) throw contractError(desc, `${name} is ${ms} ms; it must be more than 0`);
  return ms;
}

function compileBindings(desc: DescMethod): readonly HttpBinding[] {
  if (!hasOption(desc, httpOption)) return [];
  const rule = getOption(desc, httpOption);
  return [rule, ...rule.additionalBindings].map(binding => compileBinding(desc, binding));
}

function compileBinding(desc: DescMethod, rule: HttpRule): HttpBinding {
  const { pattern } = rule;
  if (pattern.case === undefined) throw contractError(desc, "google.api.http has a rule without a verb and a path");
  const verb = pattern.case === "custom" ? pattern.value.kind : pattern.case.toUpperCase();
  const template = pattern.case === "custom" ? pattern.value.path : pattern.value;
  return { verb, template, body: rule.body, responseBody: rule.responseBody };
}

function compileRest(desc: DescMethod): RestOptions {
  if (!hasOption(desc, restOption)) return { successStatus: 200, location: undefined };
  const option = getOption(desc, restOption);
  const status = option.successStatus === 0 ? 200 : option.successStatus;
  if (status < 200 || status > 299)
    throw contractError(desc, `rest.success_status is ${status}; it must be 200 to 299`);
  return { successStatus: status, location: option.location === "" ? undefined : option.location };
}

function compileAuth(desc: DescMethod): AuthOptions {
  const own = hasOption(desc, authOption) ? getOption(desc, authOption) : undefined;
  const inherited = hasOption(desc.parent, serviceAuthOption) ? getOption(desc.parent, serviceAuthOption) : undefined;
  for (const [name, rule] of [
    ["auth", own],
    ["service_auth", inherited],
  ] as const) {
    if (rule?.required === false && rule.scopes.length > 0) {
      throw contractError(
        desc,
        `${name} names scopes, but says required: false; a caller without a name has no scopes`,
      );
    }
    // RFC 6749, section 3.3: what a scope may consist of, so that it can stand in a challenge.
    const odd = rule?.scopes.find(scope => !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope));
    if (odd !== undefined) {
      throw contractError(
        desc,
        `${name} has the scope ${JSON.stringify(odd)}; it must be visible ASCII without " and \\`,
      );
    }
  }
  if (own?.required === false) return { required: false, scopes: [] };
  const scopes = own !== undefined && own.scopes.length > 0 ? own.scopes : (inherited?.scopes ?? []);
  return { required: scopes.length > 0 ? true : (own?.required ?? inherited?.required), scopes };
}

function compileDialect(desc: DescService): JsonDialect {
  const option = hasOption(desc, restDialectOption) ? getOption(desc, restDialectOption) : undefined;
  return {
    fieldNames: option?.fieldNames === RestDialect_FieldNames.PROTO ? "proto" : "json",
    enumValues: option?.enumValues === RestDialect_EnumValues.SHORT ? "short" : "full",
    emitDefaultValues: option?.emitDefaultValues ?? false,
  };
}

function contractError(desc: DescMethod, problem: string): ContractError {
  return new ContractError(`${desc.parent.file.name}.proto: ${desc.parent.typeName}.${desc.name}: ${problem}`);
}
