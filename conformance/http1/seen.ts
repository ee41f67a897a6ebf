import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { silentObserver, systemPlatform } from "../../src/platform/index.ts";
import type { FieldList, ServerExchange } from "../../src/wire/exchange.ts";
import { Http1ServerConnection } from "../../src/wire/http1/index.ts";

/** A server that notes every request it sees, by the port of its client. */
export interface RecordingServer {
  readonly port: number;
  /** All requests since the last `forget`, in order. */
  readonly all: readonly string[];
  /** What came from that port, once: ports are used again. */
  takeSeen(remotePort: number): readonly string[];
  forget(): void;
  close(): Promise<void>;
}

class Record {
  readonly all: string[] = [];
  readonly #byPort = new Map<number, string[]>();

  note(remotePort: number, request: string): void {
    this.all.push(request);
    const list = this.#byPort.get(remotePort) ?? [];
    list.push(request);
    this.#byPort.set(remotePort, list);
  }

  takeSeen(remotePort: number): readonly string[] {
    const seen = this.#byPort.get(remotePort) ?? [];
    this.#byPort.delete(remotePort);
    return seen;
  }

  forget(): void {
    this.all.length = 0;
    this.#byPort.clear();
  }
}

/** Our server. Answers 200 with what it has seen. */
export async function startOurServer(): Promise<RecordingServer> {
  const record = new Record();
  const { clock, network } = systemPlatform;
  const open = new Set<Http1ServerConnection>();
  const listening = await network.listen({ host: "127.0.0.1", port: 0 }, stream => {
    const connection = new Http1ServerConnection({
      stream,
      clock,
      observer: silentObserver,
      scheme: "http",
      handler: {
        request: exchange => receive(exchange, text => record.note(stream.remotePort, text)),
        closed: () => void open.delete(connection),
      },
    });
    open.add(connection);
    stream.handler = connection;
    connection.start();
  });
  return {
    port: listening.port,
    all: record.all,
    takeSeen: port => record.takeSeen(port),
    forget: () => record.forget(),
    async close() {
      const closed = listening.close();
      for (const connection of [...open]) connection.destroy();
      await closed;
    },
  };
}

function receive(exchange: ServerExchange, note: (text: string) => void): void {
  let body = "";
  exchange.receiver = {
    data(chunk, start, end) {
      body += chunk.toString("latin1", start, end);
      exchange.consumed(end - start);
    },
    ended(trailers) {
      const text = `${exchange.method} ${exchange.authority} ${exchange.path.value} [${body}]${trailerText(trailers)}`;
      note(text);
      exchange.respond(200, [], text);
    },
    aborted() {},
    writable() {},
  };
}

function trailerText(trailers: FieldList | undefined): string {
  return [...(trailers ?? [])].map(field => ` +${field.name}=${field.value}`).join("");
}

/** Node's server, whose parser is llhttp, in its strict mode. */
export async function startNodeServer(): Promise<RecordingServer> {
  const record = new Record();
  const server = createServer({ insecureHTTPParser: false, keepAliveTimeout: 5_000 }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const text = describeNode(request, Buffer.concat(pieces).toString("latin1"));
      record.note(request.socket.remotePort ?? 0, text);
      response.end(text, "latin1");
    });
    request.on("error", () => {});
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    all: record.all,
    takeSeen: port => record.takeSeen(port),
    forget: () => record.forget(),
    close() {
      server.closeAllConnections();
      return new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

function describeNode(request: IncomingMessage, body: string): string {
  const absolute = /^https?:\/\/([^/?]+)(.*)$/i.exec(request.url ?? "");
  const authority = absolute?.[1] ?? request.headers.host ?? "";
  const rest = absolute?.[2];
  let path = request.url ?? "";
  if (rest !== undefined)
    path = rest.startsWith("/") ? rest : rest === "" && request.method === "OPTIONS" ? "*" : `/${rest}`;
  const trailers = Object.entries(request.trailers).map(([name, value]) => ` +${name}=${value ?? ""}`);
  return `${request.method} ${authority} ${path} [${body}]${trailers.join("")}`;
}
