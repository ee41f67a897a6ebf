import { silentObserver, systemPlatform } from "../../src/platform/index.ts";
import { constantField, type ServerExchange } from "../../src/wire/exchange.ts";
import { Http2ServerConnection } from "../../src/wire/http2/index.ts";

const head = [constantField("content-type", "text/plain")];

/** Answers with the request's body, or a short text where there is none. */
function echo(exchange: ServerExchange): void {
  const parts: Buffer[] = [];
  exchange.receiver = {
    data(chunk, start, end) {
      parts.push(Buffer.from(chunk.subarray(start, end)));
      exchange.consumed(end - start);
    },
    ended() {
      exchange.respond(200, head, parts.length === 0 ? "hello" : Buffer.concat(parts));
    },
    aborted() {
      exchange.reset("cancel");
    },
    writable() {},
  };
}

/** Our HTTP/2 on a free port of the loopback interface, nothing above it. */
export async function startEchoServer(): Promise<{ port: number; close(): Promise<void> }> {
  const { clock, network } = systemPlatform;
  const open = new Set<Http2ServerConnection>();
  const listening = await network.listen({ host: "127.0.0.1", port: 0 }, stream => {
    const connection: Http2ServerConnection = new Http2ServerConnection({
      stream,
      clock,
      observer: silentObserver,
      scheme: "http",
      handler: { request: echo, closed: () => void open.delete(connection) },
    });
    open.add(connection);
    stream.handler = connection;
    connection.start();
  });
  return {
    port: listening.port,
    async close() {
      for (const connection of open) connection.destroy();
      await listening.close();
    },
  };
}
