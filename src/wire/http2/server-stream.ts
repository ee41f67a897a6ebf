import { type BodyReceiver, constantField, type FieldList, HeaderField, type ServerExchange } from "../exchange.ts";
import { frameHeaderBytes } from "./frames.ts";
import type { Http2ServerConnection } from "./server-connection.ts";
import { Http2Stream, noReceiver } from "./stream.ts";
import { StreamState } from "./stream-state.ts";

const statusFields: (HeaderField | undefined)[] = [];

/** The shared `:status` field. @throws RangeError when it is no status */
function statusField(status: number): HeaderField {
  const known = statusFields[status];
  if (known !== undefined) return known;
  if (!Number.isInteger(status) || status < 100 || status > 999)
    throw new RangeError(`${status} is not an HTTP status`);
  while (statusFields.length <= status) statusFields.push(undefined);
  const field = constantField(":status", String(status));
  statusFields[status] = field;
  return field;
}

/** Informational heads of one exchange, so that a handler in a loop does not fill the output. */
const informationalMax = 16;

export class Http2ServerStream extends Http2Stream implements ServerExchange {
  override receiver: BodyReceiver = noReceiver;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: HeaderField;
  readonly fields: FieldList;
  readonly bodyIsAbsent: boolean;
  headSent = false;
  /** Which chunk of input opened it; the last answer to a chunk flushes. */
  readonly chunkNumber: number;
  /** Holds a handler's slot until the handler has ended, also when the peer has reset the stream. */
  #isRunning = true;
  #informational = 0;
  readonly #server: Http2ServerConnection;

  constructor(
    server: Http2ServerConnection,
    id: number,
    method: string,
    scheme: string,
    authority: string,
    path: HeaderField,
    fields: FieldList,
    bodyIsAbsent: boolean,
    chunkNumber: number,
  ) {
    super(server, id);
    this.#server = server;
    this.method = method;
    this.scheme = scheme;
    this.authority = authority;
    this.path = path;
    this.fields = fields;
    this.bodyIsAbsent = bodyIsAbsent;
    this.chunkNumber = chunkNumber;
    this.state = bodyIsAbsent ? StreamState.halfClosedRemote : StreamState.open;
  }

  get maySendBody(): boolean {
    return this.headSent;
  }

  sendInformational(status: number, fields: readonly HeaderField[]): void {
    if (this.headSent || !this.#maySendHead() || this.#informational++ >= informationalMax) return;
    this.#sendHead(statusField(status), fields, undefined, false);
    this.connectionState.outputGathered();
  }

  sendHead(status: number, fields: readonly HeaderField[], end: boolean): void {
    if (this.headSent) return;
    const field = statusField(status);
    this.headSent = true;
    if (this.#maySendHead()) {
      this.#sendHead(field, fields, undefined, end);
      if (end) this.endSent();
      this.connectionState.outputGathered();
    }
    if (end) this.finished();
  }

  respond(status: number, fields: readonly HeaderField[], body: Uint8Array | string | undefined): void {
    if (this.headSent) return;
    const field = statusField(status);
    this.headSent = true;
    if (!this.#maySendHead()) {
      this.finished();
      return;
    }
    const bytes = body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    const isBare = status === 204 || status === 304 || (status >= 100 && status < 200);
    const contentLength = isBare ? undefined : new HeaderField("content-length", String(bytes));
    const hasBody = bytes > 0 && !isBare && this.method !== "HEAD";
    this.#sendHead(field, fields, contentLength, !hasBody);
    if (!hasBody) this.endSent();
    else if (typeof body === "string") {
      const { sender } = this.connectionState;
      const { writer } = sender.output;
      sender.beginData();
      writer.ensure(frameHeaderBytes + bytes);
      writer.position += writer.bytes.write(body, writer.position, "utf8");
      sender.commitData(this, true);
    } else if (body !== undefined) this.connectionState.sender.sendData(this, body, true);
    this.finished();
    this.connectionState.outputGathered();
  }

  #maySendHead(): boolean {
    return (
      (this.state === StreamState.open || this.state === StreamState.halfClosedRemote) &&
      !this.connectionState.isClosing
    );
  }

  #sendHead(
    status: HeaderField,
    fields: readonly HeaderField[],
    contentLength: HeaderField | undefined,
    end: boolean,
  ): void {
    const { sender } = this.connectionState;
    sender.beginHeaders();
    sender.field(status);
    sender.fields(fields);
    if (contentLength !== undefined) sender.field(contentLength);
    sender.endHeaders(this.id, end);
  }

  finished(): void {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#server.handlerEnded(this);
  }
}
