import type { ByteStream, Platform } from "../../../platform/index.ts";

interface Watch {
  readonly stream: ByteStream;
  readonly query: URLSearchParams;
}

/** A Kubernetes API in plain HTTP/1.1 on a virtual network, which a test can make do anything. */
export class ScriptedApiServer {
  /** Slices by name, as JSON. */
  readonly slices = new Map<string, object>();
  readonly requests: { readonly path: string; readonly query: URLSearchParams; readonly token: string | undefined }[] =
    [];
  readonly #watches = new Set<Watch>();
  /** When set, every request is answered so. */
  refusal: { readonly status: number; readonly body: string } | undefined;
  /** When set, only watches are. */
  watchRefusal: number | undefined;
  pageSize = Number.POSITIVE_INFINITY;
  version = 100;
  readonly #platform: Platform;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  async listen(): Promise<{ close(): Promise<void> }> {
    const onConnection = (stream: ByteStream): void => {
      let text = "";
      stream.handler = {
        data: chunk => {
          text += chunk.toString("latin1");
          for (let end = text.indexOf("\r\n\r\n"); end !== -1; end = text.indexOf("\r\n\r\n")) {
            this.#answer(stream, text.slice(0, end));
            text = text.slice(end + 4);
          }
        },
        drained() {},
        ended: () => stream.end(),
        closed: () => {
          for (const watch of this.#watches) if (watch.stream === stream) this.#watches.delete(watch);
        },
      };
    };
    return this.#platform.network.listen({ host: "10.0.0.1", port: 6443 }, onConnection);
  }

  get watches(): number {
    return this.#watches.size;
  }

  put(name: string, endpoints: readonly unknown[], more: object = {}): void {
    const type = this.slices.has(name) ? "MODIFIED" : "ADDED";
    const slice = {
      metadata: { name, resourceVersion: String(++this.version) },
      addressType: "IPv4",
      ports: [{ name: "grpc", port: 80 }],
      endpoints: endpoints.map(one => (typeof one === "string" ? { addresses: [one] } : one)),
      ...more,
    };
    this.slices.set(name, slice);
    this.send({ type, object: slice });
  }

  remove(name: string): void {
    this.slices.delete(name);
    this.send({ type: "DELETED", object: { metadata: { name, resourceVersion: String(++this.version) } } });
  }

  send(event: object): void {
    this.sendRaw(`${JSON.stringify(event)}\n`);
  }

  /** Puts bytes into every watch, one chunk. */
  sendRaw(text: string): void {
    for (const { stream } of this.#watches) stream.write(chunk(text));
  }

  /** Ends every watch as a server does whose time is over. */
  endWatches(): void {
    for (const { stream } of this.#watches) stream.write(Buffer.from("0\r\n\r\n"));
    this.#watches.clear();
  }

  /** Loses every connection that has a watch. */
  cutWatches(): void {
    for (const { stream } of this.#watches) stream.destroy();
    this.#watches.clear();
  }

  #answer(stream: ByteStream, head: string): void {
    const target = / (\S+) HTTP/.exec(head)?.[1] ?? "";
    const { pathname, searchParams } = new URL(target, "http://api");
    const token = /^authorization: Bearer (.*)$/im.exec(head)?.[1];
    this.requests.push({ path: pathname, query: searchParams, token });
    const isWatch = searchParams.get("watch") === "true";
    if (this.refusal !== undefined || (isWatch && this.watchRefusal !== undefined)) {
      const { status, body } = this.refusal ?? {
        status: this.watchRefusal ?? 500,
        body: '{"kind":"Status","message":"no"}',
      };
      stream.write(Buffer.from(`HTTP/1.1 ${status} No\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`));
    } else if (isWatch) {
      stream.write(
        Buffer.from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n"),
      );
      this.#watches.add({ stream, query: searchParams });
    } else {
      const from = Number(searchParams.get("continue") ?? 0);
      const all = [...this.slices.values()];
      const items = all.slice(from, from + this.pageSize);
      const next = from + items.length < all.length ? String(from + items.length) : "";
      const body = JSON.stringify({ metadata: { resourceVersion: String(this.version), continue: next }, items });
      stream.write(Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`));
    }
  }
}

function chunk(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
}
