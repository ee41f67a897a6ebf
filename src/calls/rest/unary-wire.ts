import { RpcError } from "../../errors/index.ts";
import { constantField, HeaderField } from "../../wire/index.ts";
import { appendFields, compress, type Encoding, type ServerCall, type ServerWire } from "../rpc/index.ts";
import { checkAnswerSize } from "./answer-size.ts";
import { entityTag, precondition } from "./conditional.ts";
import { acceptedEncodings, mayRefuseIdentity } from "./negotiation.ts";
import type { RequestBody } from "./request-body.ts";
import { respondError } from "./respond-error.ts";
import type { HttpBody, RestRoute } from "./route.ts";

const json = constantField("content-type", "application/json");
const noSniff = constantField("x-content-type-options", "nosniff");
const varyEncoding = constantField("vary", "accept-encoding");

/** A call that came by one of the contract's routes and answers with one body. */
export class RestUnaryWire implements ServerWire {
  readonly protocol = "rest";
  readonly #route: RestRoute;
  readonly #body: RequestBody;

  constructor(route: RestRoute, body: RequestBody) {
    this.#route = route;
    this.#body = body;
  }

  data(call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#body.data(call, chunk, start, end);
  }

  ended(call: ServerCall): void {
    this.#body.ended(call);
  }

  respond(call: ServerCall, message: object): void {
    const route = this.#route;
    if (route.responseKind === "http-body") {
      const { contentType, data } = route.responseBody(message);
      this.#send(call, message, [new HeaderField("content-type", contentType), noSniff], data);
    } else {
      this.#send(call, message, [json], route.response(message));
    }
  }

  send(): void {
    throw new Error("a unary REST route answers once");
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    if (error !== undefined) respondError(call, error, this.#route.service.dialect.fieldNames);
  }

  #send(call: ServerCall, message: object, fields: HeaderField[], body: HttpBody["data"] | string): void {
    const { exchange, host } = call;
    checkAnswerSize(body, host.sendBytesMax);
    const location = this.#route.location?.(message);
    if (location !== undefined) fields.push(new HeaderField("location", location));
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    const isLarge = body.length >= (call.compressResponses === true ? 0 : host.compression.bytesMin);
    const encoding = responseEncoding(call, isLarge);
    if ((isLarge && host.compression.responses !== "never") || encoding !== undefined) fields.push(varyEncoding);
    if (this.#isReading(call) && !this.#proceeds(call, fields, body)) return;
    if (encoding === undefined) {
      exchange.respond(this.#route.successStatus, fields, body);
    } else {
      fields.push(constantField("content-encoding", encoding));
      const bytes = typeof body === "string" ? Buffer.from(body) : body;
      exchange.respond(this.#route.successStatus, fields, compress(encoding, bytes));
    }
  }

  /** Whether the answer is one that a cache may hold. */
  #isReading({ exchange, method }: ServerCall): boolean {
    return method.idempotency === "no_side_effects" && (exchange.method === "GET" || exchange.method === "HEAD");
  }

  /** Adds the validator; answers itself when the client's preconditions say so. */
  #proceeds(call: ServerCall, fields: HeaderField[], body: HttpBody["data"] | string): boolean {
    const { exchange } = call;
    const own = (name: string): string | undefined => fields.find(field => field.name === name)?.value;
    let tag = own("etag");
    if (tag === undefined) {
      tag = entityTag(body);
      fields.push(new HeaderField("etag", tag));
    }
    switch (precondition(name => exchange.fields.get(name), tag, own("last-modified"))) {
      case "proceed":
        return true;
      case "not_modified":
        exchange.respond(
          304,
          fields.filter(({ name }) => name !== "content-type"),
          undefined,
        );
        return false;
      case "failed": {
        const reason = "the precondition of the request does not hold for what is there now";
        throw new RpcError("failed_precondition", reason, { httpStatus: 412 });
      }
    }
  }
}

function responseEncoding({ host, compressResponses, exchange }: ServerCall, isLarge: boolean): Encoding | undefined {
  const field = exchange.fields.get("accept-encoding");
  // Most small answers to most clients: nothing to decide.
  if (field === undefined || (!isLarge && !mayRefuseIdentity(field))) return undefined;
  const { encoding, isIdentityFine } = acceptedEncodings(field);
  if (!isIdentityFine) return encoding;
  const mayCompress = compressResponses ?? host.compression.responses !== "never";
  return isLarge && mayCompress ? encoding : undefined;
}
