import type { ServerExchange } from "../../wire/index.ts";

/** Lets the request's body pass unread: for answers that do not depend on it. */
export function discardBody(exchange: ServerExchange): void {
  exchange.receiver = {
    data: (_chunk, start, end) => exchange.consumed(end - start),
    ended() {},
    aborted: () => exchange.reset("no_error"),
    writable() {},
  };
}
