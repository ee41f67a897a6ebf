import type { RpcError } from "../../errors/index.ts";
import type { Timer } from "../../platform/index.ts";
import { constantField, HeaderField } from "../../wire/index.ts";
import { appendFields, asRpcError, type ServerCall, type ServerWire } from "../rpc/index.ts";
import { checkAnswerSize } from "./answer-size.ts";
import { heartbeatMs, streamHeadMs } from "./limits.ts";
import { problem } from "./problem.ts";
import type { RequestBody } from "./request-body.ts";
import { instanceOf, respondError } from "./respond-error.ts";
import type { RestRoute } from "./route.ts";

/** How the messages of a stream are told apart. `bytes`: they are pieces of one body (google.api.HttpBody). */
export type StreamFormat = "application/x-ndjson" | "text/event-stream" | "bytes";

const heads: Readonly<Record<StreamFormat, readonly HeaderField[]>> = {
  "application/x-ndjson": [constantField("content-type", "application/x-ndjson"), constantField("vary", "accept")],
  // Proxies that gather answers would hold events back: nginx is told so by its own header.
  "text/event-stream": [
    constantField("content-type", "text/event-stream"),
    constantField("cache-control", "no-cache"),
    constantField("vary", "accept"),
    constantField("x-accel-buffering", "no"),
  ],
  bytes: [constantField("x-content-type-options", "nosniff")],
};

/**
 * A call that came by one of the contract's routes and answers with a stream.
 *
 * Events are numbered. A reader that lost its connection says by `Last-Event-ID` which number it had last: the handler
 * finds it in the call's metadata and may leave out what was sent, which only it can know; the numbers go on from there,
 * so that the next reconnect is right too. A handler that does not look sends everything again.
 */
export class RestStreamWire implements ServerWire {
  readonly protocol = "rest";
  readonly #route: RestRoute;
  readonly #body: RequestBody;
  readonly #format: StreamFormat;
  /** The number of the last event; known when the first is sent. */
  #sequence: number | undefined;
  #headSent = false;
  #isWatched = false;
  #timer: Timer | undefined;

  constructor(route: RestRoute, body: RequestBody, format: StreamFormat) {
    this.#route = route;
    this.#body = body;
    this.#format = format;
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#watch(call);
    this.#body.data(call, chunk, start, end);
  }

  ended(call: ServerCall): void {
    this.#watch(call);
    this.#body.ended(call);
  }

  respond(call: ServerCall, message: object): void {
    this.send(call, message);
    this.finish(call, undefined);
  }

  send(call: ServerCall, message: object): void {
    if (this.#format === "bytes") {
      const { contentType, data } = this.#route.responseBody(message);
      checkAnswerSize(data, call.host.sendBytesMax);
      this.#sendHead(call, contentType);
      if (data.length > 0) call.exchange.sendData(data, false);
      return;
    }
    // Encoded first: what cannot be encoded as the first message is still an ordinary problem.
    const text = this.#route.response(message);
    checkAnswerSize(text, call.host.sendBytesMax);
    this.#sendHead(call);
    this.#write(call, this.#format === "text/event-stream" ? this.#event(call, text) : `${text}\n`);
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    this.#timer?.cancel();
    const names = this.#route.service.dialect.fieldNames;
    if (error !== undefined && !this.#headSent) {
      respondError(call, error, names);
      return;
    }
    this.#sendHead(call);
    if (error !== undefined) {
      if (this.#format === "bytes") {
        // Nothing but a cut tells the reader that the body is not whole.
        call.exchange.reset("error");
        return;
      }
      const { body } = problem(error, instanceOf(call.exchange), names);
      this.#write(
        call,
        this.#format === "text/event-stream" ? `event: error\ndata: ${body}\n\n` : `{"error":${body}}\n`,
      );
    }
    call.exchange.sendTrailers([]);
  }

  aborted(): void {
    this.#timer?.cancel();
  }

  /** An error has no number: a reader that comes again would seem to have had the message that it stands in for. */
  #event(call: ServerCall, data: string): string {
    this.#sequence = (this.#sequence ?? lastEventId(call)) + 1;
    return `id: ${this.#sequence}\ndata: ${data}\n\n`;
  }

  #sendHead(call: ServerCall, contentType?: string): void {
    if (this.#headSent) return;
    const fields = [...heads[this.#format]];
    if (this.#format === "bytes") {
      fields.push(new HeaderField("content-type", contentType ?? "application/octet-stream"));
    }
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    if (call.closesConnection) fields.push(constantField("connection", "close"));
    call.exchange.sendHead(this.#route.successStatus, fields, false);
    this.#headSent = true;
  }

  #write({ exchange }: ServerCall, text: string): void {
    const writer = exchange.beginData();
    writer.ensure(text.length * 3);
    writer.position += writer.bytes.write(text, writer.position, "utf8");
    exchange.commitData(false);
  }

  /** Sends the head of a stream that is silent to begin with, and comments while one of events is silent. */
  #watch(call: ServerCall): void {
    if (this.#isWatched || this.#format === "bytes") return;
    this.#isWatched = true;
    const { clock } = call.host;
    const beat = (): void => {
      // A reader that is behind has something to read.
      if (call.exchange.isWritable) this.#write(call, ":\n\n");
      this.#timer = clock.after(heartbeatMs, beat);
    };
    this.#timer = clock.after(streamHeadMs, () => {
      try {
        this.#sendHead(call);
      } catch (error) {
        call.fail(asRpcError(error));
        return;
      }
      if (this.#format === "text/event-stream") this.#timer = clock.after(heartbeatMs, beat);
    });
  }
}

/** The number that the reader had last, 0 for none: whoever sent another text had it from somebody else. */
function lastEventId({ exchange }: ServerCall): number {
  const id = exchange.fields.get("last-event-id") ?? "";
  return /^[0-9]{1,15}$/.test(id) ? Number(id) : 0;
}
