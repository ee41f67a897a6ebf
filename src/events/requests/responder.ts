import { type ErrorCode, isRpcError, RpcError } from "../../errors/index.ts";
import { type Observer, outsideContext, type Platform } from "../../platform/index.ts";
import { backoffDelayMs } from "../../resilience/index.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { PublishFailure, ReplyPort } from "../driver.ts";
import type { EventWriter } from "../event-writer.ts";
import type { EventRecord, StoredRecord } from "../record.ts";
import type { EventsEvent } from "../runtime/observed.ts";
import {
  correlationIdCharsMax,
  missingAddressesMax,
  replyAddressCharsMax,
  replyAgain,
  replyPatienceMs,
} from "./limits.ts";
import type { ReplyContract } from "./reply-contract.ts";
import { errorHeaders } from "./reply-error.ts";

export interface ResponderParts {
  readonly port: ReplyPort;
  /** Addresses that the user allows beside those that the broker's driver makes. */
  readonly isReplyAddress: ((address: string) => boolean) | undefined;
  readonly writer: EventWriter;
  readonly platform: Platform;
  readonly observer: Observer;
  readonly brokerName: string;
}

/** What goes back beside its address. */
interface Reply {
  readonly type: string;
  readonly code: ErrorCode | "ok";
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

const noBody = new Uint8Array(0);
const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

/**
 * Sends replies to those who asked. Nothing here throws: a reply that reaches nobody is told to the observer, and the request
 * counts as done.
 */
export class Responder {
  readonly #parts: ResponderParts;
  /**
   * Addresses that were not there, with the time of the first reply that found them so. They share one patience: a requester
   * that has gone with thousands of requests pending holds up the handlers of all others once, and not with each of its own.
   */
  readonly #missing = new Map<string, number>();

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  /**
   * Why the address of a request must not be used; `undefined`: it may, or there is none. Whoever can publish a request could
   * name any topic or queue there, and would have us publish to it.
   */
  refusal({ attributes }: StoredRecord): string | undefined {
    const { replyTo } = attributes;
    if (replyTo === undefined || this.#accepts(replyTo)) return undefined;
    const named = JSON.stringify(replyTo.slice(0, 100));
    return `its reply_to ${named} is no address for replies on ${this.#parts.brokerName}; if it is one, allow it (isReplyAddress)`;
  }

  async reply(request: StoredRecord, contract: ReplyContract, message: object): Promise<void> {
    const { writer } = this.#parts;
    const body = writer.encodeBody(contract, message);
    if (body.length > writer.bodyBytesMax) {
      const text = `the reply has ${body.length} bytes; ${this.#parts.brokerName} takes ${writer.bodyBytesMax}`;
      await this.fail(request, new RpcError("resource_exhausted", text));
      return;
    }
    await this.#send(request, { type: contract.typeName, code: "ok", body, headers: noHeaders });
  }

  fail(request: StoredRecord, error: RpcError): Promise<void> {
    return this.#send(request, {
      type: "google.rpc.Status",
      code: error.code,
      body: noBody,
      headers: errorHeaders(error),
    });
  }

  /**
   * The handler will not reply: the requester need not wait any longer.
   * @param text for those that are told what was wrong with their own request
   */
  giveUp(request: StoredRecord, reason: DeadLetterReason | "late", text: string | undefined): Promise<void> {
    const isTheirs = reason === "undecodable" || reason === "invalid";
    return this.fail(
      request,
      isTheirs
        ? new RpcError("invalid_argument", text ?? "the request cannot be read")
        : new RpcError("internal", "internal error"),
    );
  }

  #accepts(address: string): boolean {
    const { isReplyAddress, port } = this.#parts;
    if (address.length > replyAddressCharsMax) return false;
    if (port.accepts(address)) return true;
    try {
      return isReplyAddress?.(address) === true;
    } catch {
      // Of a question that cannot be answered the answer is no.
      return false;
    }
  }

  async #send(request: StoredRecord, reply: Reply): Promise<void> {
    const { replyTo } = request.attributes;
    if (replyTo === undefined) return;
    if (!this.#accepts(replyTo)) {
      this.#unsent(request, reply, this.refusal(request) ?? "its address is refused");
      return;
    }
    const timeLeftMs = this.#timeLeftMs(request);
    if (timeLeftMs <= 0) {
      this.#unsent(request, reply, "the requester has given up by now");
      return;
    }
    const failure = await this.#hand(this.#record(request, replyTo, reply), Math.min(timeLeftMs, replyPatienceMs));
    if (failure !== undefined) {
      this.#unsent(request, reply, failure.error.message);
      return;
    }
    const event: EventsEvent = { ...observed(request), type: "events.replied", code: reply.code };
    this.#parts.observer.emit(event);
  }

  /** Until it is taken, refused for good, or `patienceMs` have passed. */
  async #hand(record: EventRecord, patienceMs: number): Promise<PublishFailure | undefined> {
    const { platform, port } = this.#parts;
    const { clock, random } = platform;
    let endMs = clock.now() + patienceMs;
    const tooLate: PublishFailure = {
      isRetryable: true,
      error: new Error(`the broker did not take it within ${patienceMs} ms`),
    };
    for (let attempt = 1; ; attempt++) {
      const failure = await this.#within(endMs - clock.now(), port.send(record).catch(refusal), tooLate);
      if (failure === undefined) this.#missing.delete(record.topic);
      if (failure === undefined || !failure.isRetryable || failure === tooLate) return failure;
      if (failure.isUnroutable === true) endMs = Math.min(endMs, this.#missingSince(record.topic) + replyPatienceMs);
      const pauseMs = Math.max(backoffDelayMs(replyAgain, attempt, 0, random), 1);
      if (clock.now() + pauseMs >= endMs) return failure;
      await new Promise<void>(resolve => {
        outsideContext(() => clock.after(pauseMs, resolve, true));
      });
    }
  }

  #missingSince(address: string): number {
    const nowMs = this.#parts.platform.clock.now();
    const sinceMs = this.#missing.get(address) ?? nowMs;
    this.#missing.delete(address);
    this.#missing.set(address, sinceMs);
    const [oldest] = this.#missing.keys();
    if (this.#missing.size > missingAddressesMax && oldest !== undefined) this.#missing.delete(oldest);
    return sinceMs;
  }

  #within<T>(timeoutMs: number, work: Promise<T>, late: T): Promise<T> {
    return new Promise(resolve => {
      const timer = outsideContext(() => this.#parts.platform.clock.after(timeoutMs, () => resolve(late), true));
      void work.then(outcome => {
        timer.cancel();
        resolve(outcome);
      });
    });
  }

  #record(request: StoredRecord, address: string, reply: Reply): EventRecord {
    const { writer } = this.#parts;
    const { correlationId, id, priority = "default", trace, expiresAtMs } = request.attributes;
    // Without a correlation id the request's own id stands for it, as with JMS.
    const answered = correlationId ?? id;
    return {
      topic: address,
      key: undefined,
      ...writer.replyAttributes(),
      type: reply.type,
      trace,
      priority,
      expiresAtMs,
      notBeforeMs: undefined,
      replyTo: undefined,
      correlationId: answered === undefined || answered.length > correlationIdCharsMax ? undefined : answered,
      headers: reply.headers,
      body: reply.body,
    };
  }

  #timeLeftMs({ attributes: { expiresAtMs } }: StoredRecord): number {
    return expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - this.#parts.platform.clock.wall();
  }

  #unsent(request: StoredRecord, { code }: Reply, why: string): void {
    const event: EventsEvent = { ...observed(request), type: "events.reply.unsent", code, why };
    this.#parts.observer.emit(event);
  }
}

/** Whether a thrown value is the reply itself. */
export function isReply(error: unknown, request: StoredRecord): error is RpcError {
  return request.attributes.replyTo !== undefined && isRpcError(error);
}

function refusal(cause: unknown): PublishFailure {
  return { isRetryable: false, error: cause instanceof Error ? cause : new Error(String(cause)) };
}

function observed({ topic, place, attributes }: StoredRecord) {
  return { topic, eventType: attributes.type, place };
}
