import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type ErrorCode, isRpcError, RpcError } from "../../errors/index.ts";
import { contextValue, currentWork, type Observer, outsideContext, type Platform } from "../../platform/index.ts";
import type { RequestOptions } from "../broker.ts";
import type { BrokerDriver, ReplyPort } from "../driver.ts";
import { BrokerError, type PublishError } from "../errors.ts";
import type { EventWriter } from "../event-writer.ts";
import type { PendingRecord, Publisher, PublishListener } from "../publisher.ts";
import type { EventRecord, StoredRecord } from "../record.ts";
import type { EventsEvent } from "../runtime/observed.ts";
import { readEvent } from "../runtime/read-record.ts";
import type { TopicGate } from "../topic-gate.ts";
import { pendingRequestsMax, requestTimeoutMs, requestTimeoutMsMax } from "./limits.ts";
import { PendingRequests } from "./pending-requests.ts";
import { type ReplyContract, replyContract } from "./reply-contract.ts";
import { errorOf } from "./reply-error.ts";

export interface RequesterParts {
  readonly driver: Pick<BrokerDriver, "name" | "replies">;
  readonly writer: EventWriter;
  readonly publisher: Publisher;
  readonly topics: TopicGate;
  readonly platform: Platform;
  readonly observer: Observer;
  /** @default 10,000 */
  readonly pendingMax: number | undefined;
}

/** Asks: publishes requests and gives their replies to whoever waits. Its address at the broker is made for the first request. */
export class Requester {
  readonly #parts: RequesterParts;
  readonly #pending: PendingRequests<StoredRecord>;
  #address: string | undefined;
  #opening: Promise<string> | undefined;
  #isClosed = false;

  /** @throws BrokerError for a bound that is none */
  constructor(parts: RequesterParts) {
    this.#parts = parts;
    this.#pending = new PendingRequests(parts.platform.clock, boundOf(parts.pendingMax));
  }

  /** Requests that wait. */
  get pending(): number {
    return this.#pending.size;
  }

  /** @throws (rejects) RpcError; PublishError, ContractError or CodecError for a message that no broker would take */
  async request<Q extends DescMessage, A extends DescMessage>(
    schema: Q,
    reply: A,
    message: MessageInitShape<Q>,
    options: RequestOptions,
  ): Promise<MessageShape<A>> {
    const { driver, platform, writer } = this.#parts;
    const timeLeftMs = timeLeft(options);
    const port = this.#port();
    const { headers, key, priority, signal } = options;
    if (signal?.aborted === true) throw cancelled(signal);
    if (this.#isClosed) throw closed(driver.name);
    const record = writer.write(schema, message, { headers, key, priority });
    if (timeLeftMs <= 0) throw new RpcError("deadline_exceeded", `${record.type}: there is no time left to ask`);
    if (this.#pending.isFull) {
      const text = `${record.type}: ${this.#pending.max} requests wait for their replies already (pendingRequestsMax)`;
      throw new RpcError("resource_exhausted", text, { unprocessed: true });
    }
    // As wall time, because it goes to other machines; rounded up, so that nobody gives up on it before we do.
    const expiresAtMs = Math.ceil(platform.clock.wall() + timeLeftMs);
    const waiting = new WaitingRequest(this.#parts, record, replyContract(reply), timeLeftMs);
    this.#pending.add(record.id, timeLeftMs, waiting);
    waiting.onGivenUp = () => this.#pending.remove(record.id);
    if (signal !== undefined) waiting.listenTo(signal);
    if (this.#address !== undefined) waiting.publish(this.#address, expiresAtMs);
    else {
      this.#open(port).then(
        address => waiting.publish(address, expiresAtMs),
        cause =>
          waiting.fail(
            unavailable(
              `${record.type} on ${record.topic}`,
              `replies cannot be received: ${(cause as Error).message}`,
              cause,
            ),
          ),
      );
    }
    return (await waiting.answer) as MessageShape<A>;
  }

  /** Ends all that wait; nothing can be asked any more. */
  close(): void {
    this.#isClosed = true;
    this.#pending.endAll(closed(this.#parts.driver.name));
  }

  #port(): ReplyPort {
    const { name, replies } = this.#parts.driver;
    if (replies === undefined) throw new BrokerError(`request: ${name} has no way back for replies`);
    return replies;
  }

  /** One address for all requests of this connection. One that could not be made is asked for again by the next request. */
  #open(port: ReplyPort): Promise<string> {
    this.#opening ??= outsideContext(() => port.open(record => this.#received(record))).then(
      address => {
        this.#address = address;
        return address;
      },
      error => {
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  #received(record: StoredRecord): void {
    const { correlationId } = record.attributes;
    if (correlationId !== undefined && this.#pending.reply(correlationId, record)) return;
    // Late, or the second reply to a request that was delivered twice: nobody waits for it.
    const event: EventsEvent = { type: "events.reply.dropped", correlationId, place: record.place };
    this.#parts.observer.emit(event);
  }
}

/** A request from its call to its end, whichever it is. */
class WaitingRequest implements PublishListener {
  readonly answer: Promise<object>;
  onGivenUp: () => void = () => {};
  readonly #parts: RequesterParts;
  readonly #topic: string;
  readonly #type: string;
  /** Until it is handed on: ten thousand that wait do not keep their bodies. */
  #record: EventRecord | undefined;
  readonly #contract: ReplyContract;
  readonly #timeoutMs: number;
  readonly #startedMs: number;
  #resolve: (reply: object) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #published: PendingRecord | undefined;
  #stopListening: (() => void) | undefined;
  #isOver = false;

  constructor(parts: RequesterParts, record: EventRecord, contract: ReplyContract, timeoutMs: number) {
    this.#parts = parts;
    this.#record = record;
    this.#topic = record.topic;
    this.#type = record.type;
    this.#contract = contract;
    this.#timeoutMs = timeoutMs;
    this.#startedMs = parts.platform.clock.now();
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  publish(replyTo: string, expiresAtMs: number): void {
    const record = this.#record;
    this.#record = undefined;
    if (this.#isOver || record === undefined) return;
    const { publisher, topics } = this.#parts;
    const pending = topics.add({ ...record, replyTo, correlationId: record.id, expiresAtMs }, this);
    if (this.#isOver) publisher.giveUp(pending);
    else this.#published = pending;
  }

  listenTo(signal: AbortSignal): void {
    const abort = () => this.fail(cancelled(signal));
    signal.addEventListener("abort", abort, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", abort);
  }

  published(): void {
    // The broker has it; what counts is the reply.
    this.#published = undefined;
  }

  failed(_pending: PendingRecord, error: Error): void {
    this.#published = undefined;
    this.fail(unavailable(this.#name, error.message, error, (error as PublishError).isRetryable === false));
  }

  replied(reply: StoredRecord): void {
    const error = errorOf(reply.attributes.headers);
    if (error !== undefined) {
      this.#end(error.code, () => this.#reject(error));
      return;
    }
    let message: object;
    try {
      message = readReply(reply, this.#contract);
    } catch (cause) {
      const text = `the reply to ${this.#type} cannot be read: ${(cause as Error).message}`;
      const unreadable = new RpcError("internal", text, { cause });
      this.#end("internal", () => this.#reject(unreadable));
      return;
    }
    this.#end("ok", () => this.#resolve(message));
  }

  timedOut(): void {
    const text = `${this.#name}: no reply within ${Math.round(this.#timeoutMs)} ms`;
    this.fail(new RpcError("deadline_exceeded", text));
  }

  ended(error: Error): void {
    this.fail(error);
  }

  fail(error: Error): void {
    this.#end(isRpcError(error) ? error.code : "unknown", () => this.#reject(error));
  }

  get #name(): string {
    return `${this.#type} on ${this.#topic}`;
  }

  #end(code: ErrorCode | "ok", settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onGivenUp();
    this.#stopListening?.();
    const { observer, platform, publisher } = this.#parts;
    if (this.#published !== undefined) publisher.giveUp(this.#published);
    const durationMs = platform.clock.now() - this.#startedMs;
    const what = { topic: this.#topic, eventType: this.#type };
    const event: EventsEvent = { type: "events.requested", ...what, code, durationMs };
    observer.emit(event);
    settle();
  }
}

/** @throws Error for what is no reply of this contract */
function readReply(record: StoredRecord, contract: ReplyContract): object {
  const { source, type } = record.attributes;
  // CloudEvents require a source: what has one says its own type, and JSON of another type would read as an empty message.
  if (source !== undefined && type !== undefined && type !== contract.typeName) {
    throw new Error(`it is ${type.slice(0, 200)}, and ${contract.typeName} was expected`);
  }
  return readEvent(record, contract);
}

/** What is left of the work in which it is asked, and no more than the caller says. @throws TypeError */
function timeLeft({ timeoutMs }: RequestOptions): number {
  if (timeoutMs !== undefined && !(timeoutMs >= 0 && timeoutMs <= requestTimeoutMsMax)) {
    throw new TypeError(`request: timeoutMs is ${timeoutMs}; it must be from 0 to ${requestTimeoutMsMax}`);
  }
  const inherited = contextValue(currentWork)?.timeLeftMs ?? Number.POSITIVE_INFINITY;
  return Math.min(timeoutMs ?? requestTimeoutMs, inherited);
}

function unavailable(name: string, text: string, cause: unknown, isRefused = false): RpcError {
  // What the broker refuses for good is the request itself; everything else may be another time.
  const code = isRefused ? "failed_precondition" : "unavailable";
  return new RpcError(code, `${name}: ${text}`, { cause });
}

function closed(name: string): RpcError {
  return new RpcError("unavailable", `${name}: the broker was closed`);
}

function cancelled(signal: AbortSignal): RpcError {
  return new RpcError("cancelled", "the request was cancelled by its caller", { cause: signal.reason });
}

/** @throws BrokerError */
function boundOf(value: unknown): number {
  if (value === undefined) return pendingRequestsMax;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 10_000_000) return value;
  throw new BrokerError(
    `connectBroker: pendingRequestsMax is ${String(value)}; it must be a whole number from 1 to 10000000`,
  );
}
