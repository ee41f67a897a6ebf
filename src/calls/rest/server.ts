import { requestIsStream, responseIsStream } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { HeaderField, type ServerExchange } from "../../wire/index.ts";
import { discardBody, encodings, type HttpHandler, isEncoding, type RpcServer } from "../rpc/index.ts";
import { acceptedEncodings, acceptedType, mayRefuseIdentity } from "./negotiation.ts";
import { refused } from "./problem.ts";
import {
  MessageLines,
  MessagePieces,
  type RequestBody,
  type RequestHead,
  SingleMessage,
  unsupportedType,
} from "./request-body.ts";
import { respondProblem } from "./respond-error.ts";
import type { RestRoute } from "./route.ts";
import type { RestRoutes } from "./routes.ts";
import { RestStreamWire, type StreamFormat } from "./stream-wire.ts";
import { RestUnaryWire } from "./unary-wire.ts";

const ndjsonTypes = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
const streamFormats: readonly StreamFormat[] = ["application/x-ndjson", "text/event-stream"];

/** Serves the contract's routes; answers `false` for paths that have none. */
export function restHandler(routes: RestRoutes): HttpHandler {
  return (exchange: ServerExchange, server: RpcServer) => {
    const match = routes.match(exchange.method, exchange.path.value);
    switch (match.kind) {
      case "none":
        return false;
      case "wrong_verb":
        wrongVerb(exchange, match.allow);
        return true;
      case "match": {
        const { route, segments, query } = match;
        const served = server.servedMethod(route.method.path);
        if (served === undefined) return false;
        const { fields } = exchange;
        const head: RequestHead = {
          route,
          segments,
          query,
          contentType: fields.get("content-type") ?? "",
          encoding: contentCoding(fields.get("content-encoding")),
          bodyBytesMax: route.method.policy.requestBytesMax ?? server.receiveBytesMax,
        };
        const body = requestBody(exchange, head);
        if (body instanceof Refusal) {
          refuse(exchange, body);
          return true;
        }
        const format = answerFormat(route, fields.get("accept"));
        const codingRefusal = refusedCoding(fields.get("accept-encoding"), format === "whole");
        if (format instanceof Refusal) {
          refuse(exchange, format);
        } else if (codingRefusal !== undefined) {
          refuse(exchange, codingRefusal);
        } else if (format === "whole") {
          server.serve(exchange, served, new RestUnaryWire(route, body), () => timeoutOf(exchange));
        } else if (exchange.method === "HEAD") {
          // Running a stream to throw it away would only cost.
          discardBody(exchange);
          const type = format === "bytes" ? [] : [new HeaderField("content-type", format)];
          exchange.respond(route.successStatus, type, undefined);
        } else {
          server.serve(exchange, served, new RestStreamWire(route, body, format), () => timeoutOf(exchange));
        }
        return true;
      }
    }
  };
}

/** Answers, as a problem, for a path that nobody serves. The last of the handlers. */
export const notFoundHandler: HttpHandler = exchange => {
  discardBody(exchange);
  const path = exchange.path.value;
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  respondProblem(exchange, new RpcError("not_found", `nothing is served at ${shown}`), []);
  return true;
};

/** An answer that needs no call: the error, and fields that say what would be right. */
class Refusal {
  readonly error: RpcError;
  readonly fields: readonly HeaderField[];

  constructor(error: RpcError, fields: readonly HeaderField[] = []) {
    this.error = error;
    this.fields = fields;
  }
}

function refuse(exchange: ServerExchange, { error, fields }: Refusal): void {
  discardBody(exchange);
  respondProblem(exchange, error, fields);
}

function wrongVerb(exchange: ServerExchange, allow: readonly string[]): void {
  discardBody(exchange);
  const field = new HeaderField("allow", [...allow, "OPTIONS"].join(", "));
  if (exchange.method === "OPTIONS") {
    exchange.respond(204, [field], undefined);
    return;
  }
  const reason = `${exchange.method} is not among the methods of this path: ${field.value}`;
  respondProblem(exchange, new RpcError("unimplemented", reason, { httpStatus: 405 }), [field]);
}

/** How the body of a request is read, by its route and content type. */
function requestBody(exchange: ServerExchange, head: RequestHead): RequestBody | Refusal {
  const { route, contentType, encoding } = head;
  const isStream = requestIsStream(route.method.kind);
  if (route.bodyKind === "none") return new SingleMessage(head);
  // Before a client that waits for 100 (Continue) is asked for it.
  if (!isStream && announcedBytes(exchange) > head.bodyBytesMax) {
    const reason = `the body exceeds the limit of ${head.bodyBytesMax} bytes`;
    return new Refusal(new RpcError("resource_exhausted", reason, { httpStatus: 413 }));
  }
  if (encoding !== undefined && (isStream || !isEncoding(encoding))) {
    const accepted = isStream ? "identity" : encodings.join(", ");
    const error = refused("", `the content coding must be one of ${accepted}`, "content_encoding", { httpStatus: 415 });
    return new Refusal(error, [new HeaderField("accept-encoding", accepted)]);
  }
  if (route.bodyKind === "http-body") return isStream ? new MessagePieces(head) : new SingleMessage(head);
  const media = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const expected = isStream ? ndjsonTypes : ["application/json"];
  const isFitting = isStream ? ndjsonTypes.includes(media) : /^application\/(.+\+)?json$/.test(media);
  // A browser sends a body without a type across origins and asks nobody.
  const isUntyped = contentType === "" && (exchange.bodyIsAbsent || exchange.fields.get("origin") === undefined);
  if ((isFitting && hasUtf8(contentType)) || isUntyped) {
    return isStream ? new MessageLines(head) : new SingleMessage(head);
  }
  return new Refusal(unsupportedType(expected), [new HeaderField("accept", expected.join(", "))]);
}

function announcedBytes(exchange: ServerExchange): number {
  return exchange.bodyIsAbsent ? 0 : Number(exchange.fields.get("content-length") ?? 0);
}

/** The content coding of a body; names are case-insensitive, and `x-gzip` is gzip (RFC 9110, section 8.4.1). */
function contentCoding(field: string | undefined): string | undefined {
  if (field === undefined) return undefined;
  const name = field.trim().toLowerCase();
  if (name === "identity" || name === "") return undefined;
  return name === "x-gzip" ? "gzip" : name;
}

/** A client that takes the answer neither as it is nor compressed is told so before anything is done for it. */
function refusedCoding(field: string | undefined, mayCompress: boolean): Refusal | undefined {
  if (field === undefined || !mayRefuseIdentity(field)) return undefined;
  const { encoding, isIdentityFine } = acceptedEncodings(field);
  if (isIdentityFine || (mayCompress && encoding !== undefined)) return undefined;
  const available = ["identity", ...(mayCompress ? encodings : [])].join(", ");
  const reason = `the answer's content coding is one of ${available}, none of which the request accepts`;
  return new Refusal(refused("", reason, "accept_encoding", { httpStatus: 406 }));
}

/** JSON between systems is UTF-8 (RFC 8259, section 8.1). */
function hasUtf8(contentType: string): boolean {
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  return charset === undefined || /^(utf-?8|us-ascii)$/i.test(charset);
}

/** How the answer is written: whole, or as a stream in the format that the client likes best. */
function answerFormat(route: RestRoute, accept: string | undefined): "whole" | StreamFormat | Refusal {
  const isStream = responseIsStream(route.method.kind);
  // Only the message itself says what its type is.
  if (route.responseKind === "http-body") return isStream ? "bytes" : "whole";
  if (accept === undefined) return isStream ? "application/x-ndjson" : "whole";
  const available = isStream ? streamFormats : ["application/json"];
  const type = acceptedType(accept, available);
  if (type !== undefined) return isStream ? (type as StreamFormat) : "whole";
  const reason = `the answer is ${available.join(" or ")}, which the request does not accept`;
  return new Refusal(refused("", reason, "accept", { httpStatus: 406 }));
}

function timeoutOf(exchange: ServerExchange): number | undefined {
  const text = exchange.fields.get("x-request-timeout-ms");
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,10}$/.test(text)) {
    throw refused("x-request-timeout-ms", "must be 1 to 10 digits", "header.timeout");
  }
  return Number(text);
}
