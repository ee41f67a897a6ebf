import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { ServerCall } from "../rpc/index.ts";
import { connectErrorOf } from "./connect-error.ts";
import { appendHeaders, headersOfFields } from "./headers.ts";

/** What a server gives to all calls of a service. */
export interface ContextSettings {
  /** Aborts the signals of all calls. */
  readonly shutdownSignal: AbortSignal | undefined;
  readonly contextValues: ((call: ServerCall) => ContextValues) | undefined;
}

/**
 * connect-es's `HandlerContext` of one of our calls. Whatever costs an object (signal, headers, values) is made when the
 * handler looks, once; the properties are the object's own, so that a spread copies them.
 */
export class CallContext {
  readonly #call: ServerCall;
  readonly #settings: ContextSettings;
  readonly context: HandlerContext;
  #controller: AbortController | undefined;
  #isOver = false;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(call: ServerCall, settings: ContextSettings) {
    this.#call = call;
    this.#settings = settings;
    this.context = contextOf(this, call);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isOver) this.#controller.abort();
      else this.#watch(this.#controller);
    }
    return this.#controller.signal;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= headersOfFields(this.#call.exchange.fields);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= this.#settings.contextValues?.(this.#call) ?? createContextValues();
    return this.#values;
  }

  /** Hands the response headers on: they go out with what is sent next. @throws TypeError for a value that cannot be sent */
  sendHeader(): void {
    const header = this.#responseHeader;
    if (header === undefined) return;
    this.#responseHeader = undefined;
    appendHeaders(this.#call.responseHeaders, header);
    this.#responseHeader = header;
  }

  /** Hands the trailers on, for the end. @throws TypeError for a value that cannot be sent */
  sendTrailer(): void {
    if (this.#responseTrailer !== undefined) appendHeaders(this.#call.responseTrailers, this.#responseTrailer);
  }

  /** The handler is done: its signal is aborted in any case, as connect-es does. */
  over(): void {
    this.#isOver = true;
    this.#controller?.abort();
  }

  #watch(controller: AbortController): void {
    for (const signal of [this.#call.signal, this.#settings.shutdownSignal]) {
      if (signal === undefined) continue;
      const abort = () => controller.abort(connectErrorOf(signal.reason));
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true, signal: controller.signal });
    }
  }
}

function contextOf(state: CallContext, call: ServerCall): HandlerContext {
  const { method, protocol, exchange } = call;
  const desc: DescMethod = method.desc;
  const service: DescService = desc.parent;
  return {
    method: desc,
    service,
    protocolName: protocol,
    requestMethod: exchange.method,
    timeoutMs: () => (call.timeLeftMs === Number.POSITIVE_INFINITY ? undefined : call.timeLeftMs),
    get url() {
      return `${exchange.scheme}://${exchange.authority}${exchange.path.value}`;
    },
    get signal() {
      return state.signal;
    },
    get requestHeader() {
      return state.requestHeader;
    },
    get responseHeader() {
      return state.responseHeader;
    },
    get responseTrailer() {
      return state.responseTrailer;
    },
    get values() {
      return state.values;
    },
  };
}
