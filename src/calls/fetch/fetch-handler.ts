import { constantField, type ServerExchange } from "../../wire/index.ts";
import { discardBody, type HttpHandler, type RpcServer } from "../rpc/index.ts";
import { type FetchLimits, fetchLimits } from "./limits.ts";
import { requestOf } from "./request.ts";
import { BodyTooLargeError, RequestBody } from "./request-body.ts";
import { isResponse, sendResponse } from "./response.ts";

/** A web-standard handler, such as `app.fetch` of a Hono application. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** A web-standard handler threw; the caller saw 500, or the end of the answer that had begun. */
export interface FetchHandlerFailed {
  readonly type: "http.handler.failed";
  readonly path: string;
  readonly error: unknown;
}

const textType = constantField("content-type", "text/plain; charset=utf-8");

/**
 * Gives every request to `handle`. Bodies stream both ways with back-pressure; `request.signal` hears of a caller that left,
 * and so does the source of the response's body.
 * @throws TypeError for impossible limits
 */
export function fetchHandler(handle: FetchHandler, limits?: Partial<FetchLimits>): HttpHandler {
  const { fetchBodyBytesMax } = fetchLimits(limits);
  return (exchange, server) => {
    if (Number(exchange.fields.get("content-length")) > fetchBodyBytesMax) {
      discardBody(exchange);
      refuseBody(exchange, fetchBodyBytesMax);
      return true;
    }
    const body = new RequestBody(exchange, fetchBodyBytesMax);
    let request: Request;
    try {
      request = requestOf(exchange, body);
    } catch {
      discardBody(exchange);
      exchange.respond(400, [], undefined);
      return true;
    }
    exchange.receiver = body;
    void serve(exchange, server, handle, request, body, fetchBodyBytesMax);
    return true;
  };
}

function refuseBody(exchange: ServerExchange, bytesMax: number): void {
  exchange.respond(413, [textType], new BodyTooLargeError(bytesMax).message);
}

async function serve(
  exchange: ServerExchange,
  server: RpcServer,
  handle: FetchHandler,
  request: Request,
  body: RequestBody,
  bytesMax: number,
): Promise<void> {
  server.started();
  try {
    const response = await handle(request);
    if (!isResponse(response)) throw new TypeError(`the fetch handler returned ${String(response)}`);
    await sendResponse(exchange, response, body, server.clock);
  } catch (error) {
    // After the caller has left, or sent too much, a handler fails because of that.
    if (body.isAborted) return;
    if (body.isTooLarge && !exchange.headSent) {
      refuseBody(exchange, bytesMax);
      return;
    }
    const event: FetchHandlerFailed = { type: "http.handler.failed", path: exchange.path.value, error };
    server.observer.emit(event);
    if (exchange.headSent) exchange.reset("error");
    else exchange.respond(500, [], undefined);
  } finally {
    body.finish();
    server.ended();
  }
}
