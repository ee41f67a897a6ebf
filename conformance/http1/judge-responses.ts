import { request as nodeRequest } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { silentObserver, systemPlatform } from "../../src/platform/index.ts";
import { HeaderField } from "../../src/wire/exchange.ts";
import { Http1ClientConnection } from "../../src/wire/http1/index.ts";
import type { ResponseCase } from "./case.ts";

const timeoutMs = 1_500;

/** Serves one row's bytes to one connection, as soon as a request head has come. */
async function serveOnce(row: ResponseCase, use: (port: number) => Promise<string>): Promise<string> {
  const server = createServer({ noDelay: true }, socket => {
    socket.on("error", () => {});
    socket.once("data", () => {
      const bytes = Buffer.from(row.bytes, "latin1");
      if (row.ends) socket.end(bytes);
      else socket.write(bytes);
    });
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** What our client makes of a row: `status [body]`, `refused`, or `nothing` after a while. */
export function judgeOurClient(row: ResponseCase): Promise<string> {
  return serveOnce(row, async port => {
    const { clock, network } = systemPlatform;
    const stream = await network.connect({ host: "127.0.0.1", port });
    const { promise, resolve } = Promise.withResolvers<string>();
    const connection = new Http1ClientConnection({
      stream,
      clock,
      observer: silentObserver,
      handler: { capacityChanged() {}, draining() {}, closed() {} },
    });
    stream.handler = connection;
    connection.start();
    let status = 0;
    let body = "";
    connection.request(
      {
        method: new HeaderField(":method", row.method),
        scheme: new HeaderField(":scheme", "http"),
        authority: new HeaderField(":authority", `127.0.0.1:${port}`),
        path: new HeaderField(":path", "/"),
      },
      [],
      {
        head(value) {
          status = value;
        },
        data(chunk, start, end) {
          body += chunk.toString("latin1", start, end);
        },
        ended: () => resolve(`${status} [${body}]`),
        aborted: () => resolve("refused"),
        writable() {},
      },
      true,
    );
    const limit = setTimeout(() => resolve("nothing"), timeoutMs);
    const outcome = await promise;
    clearTimeout(limit);
    connection.destroy();
    return outcome;
  });
}

/** The same with Node's client. */
export function judgeNodeClient(row: ResponseCase): Promise<string> {
  return serveOnce(row, async port => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const request = nodeRequest({ host: "127.0.0.1", port, method: row.method, path: "/", agent: false });
    request.on("response", response => {
      let body = "";
      response.setEncoding("latin1");
      response.on("data", (piece: string) => {
        body += piece;
      });
      response.on("end", () => resolve(`${response.statusCode} [${body}]`));
      response.on("error", () => resolve("refused"));
    });
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve("refused");
    });
    request.on("error", () => resolve("refused"));
    request.end();
    const limit = setTimeout(() => resolve("nothing"), timeoutMs);
    const outcome = await promise;
    clearTimeout(limit);
    request.destroy();
    return outcome;
  });
}
