import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileService, responseIsStream, type Service } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import type { Call } from "./call.ts";
import type { AnyHandler, ServedMethod } from "./served-method.ts";

type Awaitable<T> = T | Promise<T>;

/** The function that serves one method; the shape follows from its kind. */
export type Handler<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: MessageShape<M["input"]>, call: Call) => Awaitable<MessageInitShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageShape<M["input"]>, call: Call) => AsyncIterable<MessageInitShape<M["output"]>>
    : M["methodKind"] extends "client_streaming"
      ? (requests: AsyncIterable<MessageShape<M["input"]>>, call: Call) => Awaitable<MessageInitShape<M["output"]>>
      : (requests: AsyncIterable<MessageShape<M["input"]>>, call: Call) => AsyncIterable<MessageInitShape<M["output"]>>;

/** Functions for the methods of a service, by their names in TypeScript. A missing one answers `unimplemented`. */
export type Handlers<S extends DescService> = { [K in keyof S["method"]]?: Handler<S["method"][K]> };

/** A service together with the functions that serve it; made by {@link implement}. */
export interface Implementation {
  readonly service: Service;
  readonly methods: readonly ServedMethod[];
}

/**
 * Joins a service of the contract with its handlers: an object, or an instance of a class.
 *
 * ```ts
 * implement(OrderService, { async getOrder({ orderId }) { return orders.get(orderId); } });
 * ```
 * @throws TypeError when a handler is not a function
 */
export function implement<S extends DescService>(desc: S, handlers: Handlers<S>): Implementation {
  const service = compileService(desc);
  const methods = service.methods.map((method): ServedMethod => {
    const handler = (handlers as Record<string, unknown>)[method.localName];
    if (handler === undefined) return { method, handler: missing(method.path, responseIsStream(method.kind)) };
    if (typeof handler !== "function") {
      throw new TypeError(`implement(${desc.typeName}): ${method.localName} is ${typeof handler}, expected a function`);
    }
    return { method, handler: handler.bind(handlers) as AnyHandler };
  });
  return { service, methods };
}

function missing(path: string, isStream: boolean): AnyHandler {
  const fail = (): never => {
    throw new RpcError("unimplemented", `${path} is not implemented`);
  };
  return isStream ? () => ({ [Symbol.asyncIterator]: () => ({ next: async () => fail() }) }) : fail;
}
