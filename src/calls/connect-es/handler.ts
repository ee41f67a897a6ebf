import type { HandlerContext, Interceptor, MethodImplSpec } from "@connectrpc/connect";
import {
  createAsyncIterable,
  invokeUnaryImplementation,
  transformInvokeImplementation,
} from "@connectrpc/connect/protocol";
import type { AnyHandler } from "../rpc/index.ts";
import { handlerError } from "./connect-error.ts";
import { CallContext, type ContextSettings } from "./handler-context.ts";

/** What connect-es's router runs around implementations. */
export interface HandlerSettings extends ContextSettings {
  readonly interceptors: Interceptor[];
  /** Runs before interceptors and implementation; throws to refuse the call. */
  readonly requestGate: ((context: HandlerContext) => void | Promise<void>) | undefined;
}

/** An implementation of connect-es's as a handler of ours. */
export function handlerOf(spec: MethodImplSpec, settings: HandlerSettings): AnyHandler {
  switch (spec.kind) {
    case "unary":
    case "client_streaming": {
      const run = singleAnswer(spec, settings);
      return (request, call) => answerOnce(run, request, new CallContext(call, settings), settings);
    }
    case "server_streaming":
    case "bidi_streaming": {
      const run = streamedAnswer(spec, settings);
      return (request, call) => answerAll(run, request, new CallContext(call, settings), settings);
    }
  }
}

type RunOnce = (request: unknown, context: HandlerContext) => unknown;
type RunStream = (request: unknown, context: HandlerContext) => AsyncIterable<unknown>;

function singleAnswer(
  spec: MethodImplSpec & { kind: "unary" | "client_streaming" },
  { interceptors }: HandlerSettings,
): RunOnce {
  if (interceptors.length === 0) return spec.impl as RunOnce;
  if (spec.kind === "unary") {
    return (request, context) => invokeUnaryImplementation(spec, context, request as never, interceptors);
  }
  return async (request, context) => {
    let answer: unknown;
    const invoke = transformInvokeImplementation(spec, context, interceptors);
    for await (const message of invoke(request as AsyncIterable<never>)) answer = message;
    return answer;
  };
}

function streamedAnswer(
  spec: MethodImplSpec & { kind: "server_streaming" | "bidi_streaming" },
  { interceptors }: HandlerSettings,
): RunStream {
  if (interceptors.length === 0) return spec.impl as unknown as RunStream;
  return (request, context) => {
    const requests = spec.kind === "server_streaming" ? createAsyncIterable([request]) : request;
    return transformInvokeImplementation(spec, context, interceptors)(requests as AsyncIterable<never>);
  };
}

async function answerOnce(
  run: RunOnce,
  request: unknown,
  call: CallContext,
  settings: HandlerSettings,
): Promise<unknown> {
  try {
    if (settings.requestGate !== undefined) await settings.requestGate(call.context);
    return await run(request, call.context);
  } catch (error) {
    throw handlerError(error);
  } finally {
    call.over();
    call.sendHeader();
    call.sendTrailer();
  }
}

async function* answerAll(
  run: RunStream,
  request: unknown,
  call: CallContext,
  settings: HandlerSettings,
): AsyncIterable<unknown> {
  let hasSentHeader = false;
  try {
    if (settings.requestGate !== undefined) await settings.requestGate(call.context);
    for await (const message of run(request, call.context)) {
      // Set before the first message or not at all.
      if (!hasSentHeader) {
        hasSentHeader = true;
        call.sendHeader();
      }
      yield message;
    }
  } catch (error) {
    throw handlerError(error);
  } finally {
    call.over();
    if (!hasSentHeader) call.sendHeader();
    call.sendTrailer();
  }
}
