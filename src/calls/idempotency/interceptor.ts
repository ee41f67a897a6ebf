import type { DescMethod } from "@bufbuild/protobuf";
import type { Method } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import {
  contextKey,
  contextValue,
  type Observer,
  type Platform,
  runInContext,
  silentObserver,
  systemPlatform,
} from "../../platform/index.ts";
import type { Call, Interceptor, Next } from "../rpc/index.ts";
import { fingerprint } from "./fingerprint.ts";
import { isKept, keepError, keepResponse, replay } from "./kept-answer.ts";
import { invalidKey, keyField, readKey } from "./key.ts";
import { leaseMsDefault, renewalsPerLease, retryAfterMs, ttlMsDefault } from "./limits.ts";
import type { IdempotencyClaim, IdempotencyStore, IdempotencyTicket } from "./store.ts";

export interface IdempotencyOptions {
  /** `memoryIdempotencyStore()`, `sqliteIdempotencyStore(database)`, or one of your own. */
  readonly store: IdempotencyStore;
  /** How long a key and its answer are kept. @default 24 hours */
  readonly ttlMs?: number | undefined;
  /** How long the key of a crashed process stays taken. @default 60,000 */
  readonly leaseMs?: number | undefined;
  /**
   * The methods for which a key counts: `[OrderService.method.createOrder]`. With others it is ignored.
   * @default every unary method that has side effects; of streaming ones a key is refused
   */
  readonly methods?: readonly DescMethod[] | undefined;
  /** The methods that are not called without a key. They belong to `methods`. @default none */
  readonly required?: readonly DescMethod[] | undefined;
  /**
   * Who calls. Two principals never see each other's answers, so this must be something that the caller cannot choose.
   * @default the subject that `authenticate` has found; everybody the same without it
   */
  readonly principal?: ((call: Call) => string) | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

/** What a key is to a method. */
export type KeyUse = "ignored" | "optional" | "refused" | "required";

/** Made by {@link idempotency}. */
export interface IdempotencyInterceptor extends Interceptor {
  /** What a key is to a method; `/openapi.json` says so. */
  readonly keyUse: (method: Method) => KeyUse;
}

/** The store did not do what it should. After `begin` the caller saw `unavailable`, otherwise the call's own answer. */
export interface IdempotencyStoreFailed {
  readonly type: "idempotency.store.failed";
  readonly method: string;
  readonly step: "begin" | "renew" | "complete" | "abandon";
  readonly error: unknown;
}

/** Another run took the key while its holder ran: a process slept for longer than its lease. Both have run. */
export interface IdempotencyKeyLost {
  readonly type: "idempotency.key.lost";
  readonly method: string;
}

const operationKey = contextKey<string>("rpc.idempotency.operation");

/**
 * Inside of a handler: names what the request is to do, equal whenever the same request is run again with the same key, after
 * a crash or an error. `undefined` where the call has no key. A handler that uses it as the key of what it makes does it once.
 *
 * ```ts
 * async createOrder(request) { return orders.insertOnce(operationId() ?? randomUUID(), request); }
 * ```
 */
export function operationId(): string | undefined {
  return contextValue(operationKey);
}

/**
 * Makes calls with an `Idempotency-Key` safe to repeat: the first one runs, its repeats get its answer, with the header
 * `idempotent-replayed: true`.
 *
 * ```ts
 * createServer({ services, interceptors: [authenticate({ … }), idempotency({ store: memoryIdempotencyStore() })] });
 * ```
 *
 * It belongs behind what says who calls and what turns calls away, because what it calls `next` for is kept.
 * @throws TypeError for a method that streams or only reads, and for times that are not above 0
 */
export function idempotency(options: IdempotencyOptions): IdempotencyInterceptor {
  const calls = new IdempotentCalls(options);
  const interceptor: Interceptor = (call, next) => calls.intercept(call, next);
  return Object.assign(interceptor, { keyUse: (method: Method) => calls.keyUse(method) });
}

class IdempotentCalls {
  readonly #store: IdempotencyStore;
  readonly #ttlMs: number;
  readonly #leaseMs: number;
  readonly #methods: ReadonlySet<string> | undefined;
  readonly #required: ReadonlySet<string>;
  readonly #principal: (call: Call) => string;
  readonly #observer: Observer;
  readonly #platform: Platform;

  constructor(options: IdempotencyOptions) {
    const { store, ttlMs = ttlMsDefault, leaseMs = leaseMsDefault, methods, required = [] } = options;
    for (const [name, value] of Object.entries({ ttlMs, leaseMs })) {
      if (!(value > 0 && value <= Number.MAX_SAFE_INTEGER / 2)) {
        throw new TypeError(`idempotency: ${name} must be a number of milliseconds above 0, got ${value}`);
      }
    }
    for (const method of [...(methods ?? []), ...required]) assertFitting(method);
    const stray = methods === undefined ? undefined : required.find(method => !methods.includes(method));
    if (stray !== undefined) throw new TypeError(`idempotency: ${pathOf(stray)} is in required but not in methods`);
    this.#store = store;
    this.#ttlMs = ttlMs;
    this.#leaseMs = leaseMs;
    this.#methods = methods === undefined ? undefined : new Set(methods.map(pathOf));
    this.#required = new Set(required.map(pathOf));
    this.#principal = options.principal ?? subjectOf;
    this.#observer = options.observer ?? silentObserver;
    this.#platform = options.platform ?? systemPlatform;
  }

  keyUse(method: Method): KeyUse {
    if (this.#required.has(method.path)) return "required";
    if (this.#methods !== undefined) return this.#methods.has(method.path) ? "optional" : "ignored";
    // A repeated read does no harm, so its key says nothing.
    if (method.idempotency === "no_side_effects") return "ignored";
    // Ignoring it would let a caller believe that the stream may be repeated.
    return method.kind === "unary" ? "optional" : "refused";
  }

  async intercept(call: Call, next: Next): Promise<unknown> {
    if (call.side === "client") throw new TypeError("idempotency() is an interceptor of servers, not of clients");
    const use = this.keyUse(call.method);
    const key = use === "ignored" ? undefined : readKey(call.metadata);
    if (key === undefined) {
      if (use === "required") throw invalidKey("is required", "idempotency_key.required");
      return next();
    }
    if (use === "refused") {
      throw invalidKey(`is not for ${call.method.path}, which streams`, "idempotency_key.streaming");
    }
    const ticket: IdempotencyTicket = {
      scope: `${call.method.path}\n${this.#principal(call)}`,
      key,
      fingerprint: fingerprint(call.method, call.request as object),
      holder: Buffer.from(this.#platform.random.bytes(16)).toString("hex"),
      leaseMs: this.#leaseMs,
      ttlMs: this.#ttlMs,
    };
    const claim = await this.#begin(call, ticket);
    switch (claim.kind) {
      case "stored":
        call.responseHeaders.set("idempotent-replayed", "true");
        return replay(call, claim.answer);
      case "mismatch":
        throw invalidKey("was used for another request; a new request needs a new key", "idempotency_key.reused", 422);
      case "running":
        throw new RpcError("aborted", `a request with this ${keyField} is still running; ask again later`, {
          retryAfterMs,
        });
      case "new":
        return this.#run(call, next, ticket, claim.operation);
    }
  }

  async #begin(call: Call, ticket: IdempotencyTicket): Promise<IdempotencyClaim> {
    try {
      return await this.#store.begin(ticket);
    } catch (error) {
      this.#failed(call, "begin", error);
      // Without the store nobody knows whether the request ran already.
      const text = "idempotency keys cannot be looked up at the moment; the request was not run";
      throw new RpcError("unavailable", text, { cause: error, retryAfterMs });
    }
  }

  /**
   * Runs the handler and keeps its outcome. It does not matter whether the caller still waits: a handler goes on after a
   * deadline or a cancellation, and what it did then is what a repeat must get.
   */
  async #run(call: Call, next: Next, ticket: IdempotencyTicket, operation: string): Promise<unknown> {
    if (call.signal.aborted) {
      await this.#settle(call, ticket, undefined);
      throw call.signal.reason;
    }
    const stopRenewing = this.#renew(call, ticket);
    try {
      const response = await runInContext(operationKey, operation, next);
      await this.#settle(call, ticket, keepResponse(call, response as object));
      return response;
    } catch (error) {
      await this.#settle(call, ticket, isKept(error) ? keepError(call, error) : undefined);
      throw error;
    } finally {
      stopRenewing();
    }
  }

  /** Never throws: the handler has run, and the caller gets its answer. An entry that cannot be settled ends with its lease. */
  async #settle(call: Call, ticket: IdempotencyTicket, answer: Uint8Array | undefined): Promise<void> {
    const step = answer === undefined ? "abandon" : "complete";
    try {
      const isHeld = await (answer === undefined ? this.#store.abandon(ticket) : this.#store.complete(ticket, answer));
      if (!isHeld) this.#lost(call);
    } catch (error) {
      this.#failed(call, step, error);
    }
  }

  /** Holds the key while the handler runs, until the returned function is called. */
  #renew(call: Call, ticket: IdempotencyTicket): () => void {
    let isRunning = true;
    const renew = async (): Promise<void> => {
      try {
        await this.#store.renew(ticket);
      } catch (error) {
        this.#failed(call, "renew", error);
      }
      if (isRunning) timer = arm();
    };
    const arm = () => this.#platform.clock.after(this.#leaseMs / renewalsPerLease, () => void renew());
    let timer = arm();
    return () => {
      isRunning = false;
      timer.cancel();
    };
  }

  #failed(call: Call, step: IdempotencyStoreFailed["step"], error: unknown): void {
    const event: IdempotencyStoreFailed = {
      type: "idempotency.store.failed",
      method: call.method.path,
      step,
      error,
    };
    this.#observer.emit(event);
  }

  #lost(call: Call): void {
    const event: IdempotencyKeyLost = { type: "idempotency.key.lost", method: call.method.path };
    this.#observer.emit(event);
  }
}

function subjectOf(call: Call & { readonly principal?: { readonly subject: string } | undefined }): string {
  return call.principal?.subject ?? "";
}

function pathOf({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

/** `IdempotencyLevel` of descriptor.proto. */
const noSideEffects = 1;

function assertFitting(method: DescMethod): void {
  const path = pathOf(method);
  if (method.methodKind !== "unary") {
    throw new TypeError(`idempotency: ${path} streams; keys are for methods with one request and one answer`);
  }
  if (method.idempotency === noSideEffects) {
    throw new TypeError(`idempotency: ${path} has NO_SIDE_EFFECTS: it needs no key`);
  }
}
