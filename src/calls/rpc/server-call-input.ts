import type { Method } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { type TraceContext, traceOf } from "../../platform/index.ts";
import type { BodyReceiver, ExchangeError, ServerExchange } from "../../wire/index.ts";
import { asRpcError, CallState, type Peer, type ProtocolName } from "./call.ts";
import type { CallHost } from "./call-host.ts";
import { readPreviousAttempts } from "./call-priority.ts";
import { MessageQueue, PackedMessage } from "./message-queue.ts";
import { type Metadata, metadataFromFields } from "./metadata.ts";

/**
 * What a call on the server takes in: from the body's bytes to the request, which is one message, or a queue of them
 * where the client streams. What is done with a request, and with a body that makes none, the call decides.
 *
 * Hot path (unary): neither metadata nor a queue is made unless somebody asks.
 */
export abstract class ServerCallInput extends CallState implements BodyReceiver {
  override readonly side = "server";
  readonly exchange: ServerExchange;
  readonly host: CallHost;
  /** The messages of a client that streams. */
  protected queue: MessageQueue | undefined;
  /** Why the body makes no request: told when it is settled that the caller may be told. */
  protected bodyError: RpcError | undefined;
  /** The request's body has begun to be read and is not complete. */
  protected bodyIsOpen = false;
  #metadata: Metadata | undefined;
  #single: object | undefined;
  #messages = 0;
  /** Bytes of the chunk at hand that still count against the peer's window. */
  #unpaid = 0;

  constructor(host: CallHost, exchange: ServerExchange, method: Method, protocol: ProtocolName) {
    super(method, protocol, host.clock);
    this.host = host;
    this.exchange = exchange;
  }

  /** The answer is complete, or nobody waits for it: what still comes is passed over. */
  abstract readonly isSettled: boolean;
  abstract fail(error: RpcError): void;
  abstract aborted(error: ExchangeError): void;
  abstract writable(): void;
  /** Hands body bytes to the protocol, which calls `message` for each whole message. @throws RpcError */
  protected abstract readBody(chunk: Buffer, start: number, end: number): void;
  /** Tells the protocol that the body is complete. @throws RpcError when it ends inside a message */
  protected abstract endBody(): void;
  /** The request is there: a message, or the queue of them. */
  protected abstract start(request: unknown): void;
  /** The body makes no request. */
  protected abstract refuseBody(error: RpcError): void;

  get peer(): Peer {
    const { remoteAddress, remotePort, tls } = this.exchange.connection;
    return { address: remoteAddress, port: remotePort, tls };
  }

  get metadata(): Metadata {
    this.#metadata ??= metadataFromFields(this.exchange.fields);
    return this.#metadata;
  }

  override get attempt(): number {
    return readPreviousAttempts(this.exchange.fields);
  }

  override get trace(): TraceContext | undefined {
    return traceOf(name => this.exchange.fields.get(name));
  }

  protected openQueue(): MessageQueue {
    this.queue = new MessageQueue(
      bytes => this.#consumed(bytes),
      () => {},
    );
    return this.queue;
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (this.isSettled || this.bodyError !== undefined) {
      this.exchange.consumed(end - start);
      return;
    }
    this.#unpaid = end - start;
    try {
      this.readBody(chunk, start, end);
    } catch (error) {
      this.refuseBody(asRpcError(error));
    }
    // Of a stream, what the messages in the queue took of this chunk is paid when they are taken; the rest now, so that a
    // message may be larger than the window.
    this.#consumed(this.#unpaid);
    this.#unpaid = 0;
  }

  /** A whole message arrived; `bytes` is what it took on the wire. */
  message(message: object, bytes: number): void {
    this.#messages++;
    if (this.queue !== undefined) {
      const held = Math.min(bytes, this.#unpaid);
      this.#unpaid -= held;
      this.queue.push(message, held);
    } else if (this.#messages > 1) {
      this.refuseBody(new RpcError("unimplemented", `${this.method.path} takes one message, but more came`));
    } else {
      this.#single = message;
    }
  }

  /** A whole message of a stream arrived that is still compressed; `unpack` may throw an `RpcError`. */
  packedMessage(unpack: () => object, bytes: number): void {
    const message = new PackedMessage(() => {
      try {
        return unpack();
      } catch (error) {
        this.fail(asRpcError(error));
        throw error;
      }
    });
    this.message(message, bytes);
  }

  ended(): void {
    this.bodyIsOpen = false;
    if (this.isSettled || this.bodyError !== undefined) return;
    try {
      this.endBody();
    } catch (error) {
      this.refuseBody(asRpcError(error));
      return;
    }
    if (this.isSettled || this.bodyError !== undefined) return;
    if (this.queue !== undefined) this.queue.end();
    else if (this.#messages === 0)
      this.refuseBody(new RpcError("unimplemented", `${this.method.path} takes one message, but none came`));
    else this.start(this.#single);
  }

  #consumed(bytes: number): void {
    if (!this.isSettled) this.exchange.consumed(bytes);
  }
}
