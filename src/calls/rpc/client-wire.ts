import type { ClientConnection, ClientExchange, FieldList } from "../../wire/index.ts";
import type { ClientCall } from "./client-call.ts";

/** The protocol's side of one attempt of a call: frames what goes and parses what comes. */
export interface ClientWire {
  /** Sends the head of the request; where the client does not stream, also its message and the end. @throws RpcError */
  begin(call: ClientCall, connection: ClientConnection): ClientExchange;
  /** Sends a message of a stream. @throws RpcError */
  send(call: ClientCall, exchange: ClientExchange, message: object, end: boolean): void;
  head(call: ClientCall, status: number, fields: FieldList): void;
  /** Takes bytes of the answer; calls `call.message` for each message. @throws RpcError */
  data(call: ClientCall, chunk: Buffer, start: number, end: number): void;
  /** The answer is complete: calls `call.finish` or `call.fail`. @throws RpcError */
  ended(call: ClientCall, trailers: FieldList | undefined): void;
}
