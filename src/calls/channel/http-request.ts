import { constantField, HeaderField } from "../../wire/index.ts";
import { acceptedCodings } from "./content-coding.ts";

/** What may be sent: as `fetch` takes it. */
export type HttpBody = NonNullable<RequestInit["body"]>;

/** A request that is ready to be sent, more than once where its body allows. */
export interface HttpRequest {
  readonly method: string;
  readonly methodField: HeaderField;
  readonly path: HeaderField;
  readonly fields: readonly HeaderField[];
  readonly body: Uint8Array | ReadableStream<Uint8Array> | undefined;
  /** Whether the answer may come compressed, and is shown decompressed: where the caller says nothing of codings. */
  readonly decodes: boolean;
  /** RFC 9110, section 9.2.2: sending it twice does what sending it once does. */
  readonly isIdempotent: boolean;
}

const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const sensitive: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);

/** Fields of the connection, or that the wire writes itself. */
const ours: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const acceptEncoding = constantField("accept-encoding", acceptedCodings);

/** @throws TypeError for a path without its slash, a method or a header that HTTP forbids, a GET with a body */
export async function httpRequest(
  path: string,
  init: {
    readonly method?: string | undefined;
    readonly headers?: RequestInit["headers"];
    readonly body?: HttpBody | null | undefined;
  },
): Promise<HttpRequest> {
  if (!path.startsWith("/")) throw new TypeError(`path "${path}" must begin with a slash; the target says which host`);
  const url = URL.parse(`http://target.invalid${path}`);
  if (url === null) throw new TypeError(`path "${path}" is no path of a URL`);
  const { body = null } = init;
  const request = new Request(url, {
    method: init.method ?? "GET",
    headers: init.headers ?? {},
    body,
    ...(body === null ? {} : { duplex: "half" }),
  } as RequestInit);
  const fields: HeaderField[] = [];
  for (const [name, value] of request.headers) {
    if (!ours.has(name)) fields.push(new HeaderField(name, value, sensitive.has(name)));
  }
  if (!request.headers.has("accept")) fields.push(constantField("accept", "*/*"));
  // A part of a compressed body cannot be read by itself.
  const decodes = !request.headers.has("accept-encoding") && !request.headers.has("range");
  if (decodes) fields.push(acceptEncoding);
  return {
    method: request.method,
    methodField: new HeaderField(":method", request.method),
    path: new HeaderField(":path", `${url.pathname}${url.search}`),
    fields,
    body: await bodyOf(request, body),
    decodes,
    isIdempotent: idempotent.has(request.method),
  };
}

/** Bytes where all of them are there already, so that they have a length and can be sent again. */
async function bodyOf(request: Request, body: HttpBody | null): Promise<HttpRequest["body"]> {
  if (body === null) return undefined;
  const isStream = body instanceof ReadableStream || (typeof body === "object" && Symbol.asyncIterator in body);
  if (isStream) return request.body ?? undefined;
  return new Uint8Array(await request.arrayBuffer());
}
