import { RpcError } from "../../errors/index.ts";
import { constantField, HeaderField, type ServerExchange } from "../../wire/index.ts";
import { asRpcError, discardBody, type HttpHandler } from "../rpc/index.ts";
import { entityTag } from "./conditional.ts";
import { respondProblem } from "./respond-error.ts";

/** Something that the server itself has to show, made once for many who ask. */
export interface Page {
  readonly fields: readonly HeaderField[];
  readonly body: Buffer;
  readonly tag: string;
}

/** @param fields beside those that every page has: at least its content type */
export function pageOf(text: string, fields: readonly HeaderField[]): Page {
  const tag = entityTag(text);
  const always = [new HeaderField("etag", tag), constantField("cache-control", "no-cache")];
  return {
    body: Buffer.from(text),
    tag,
    fields: [...fields, ...always, constantField("x-content-type-options", "nosniff")],
  };
}

export function jsonPage(value: unknown): Page {
  return pageOf(JSON.stringify(value), [constantField("content-type", "application/json")]);
}

/**
 * Serves pages at paths of their own, for GET and HEAD.
 * @param pageAt is asked for each request
 */
export function pagesHandler(paths: readonly string[], pageAt: (path: string) => Promise<Page>): HttpHandler {
  return exchange => {
    const path = exchange.path.value.split("?", 1)[0] ?? "";
    if (!paths.includes(path)) return false;
    discardBody(exchange);
    if (exchange.method !== "GET" && exchange.method !== "HEAD") {
      const allow = new HeaderField("allow", "GET, HEAD, OPTIONS");
      if (exchange.method === "OPTIONS") exchange.respond(204, [allow], undefined);
      else respondProblem(exchange, new RpcError("unimplemented", "this is for GET", { httpStatus: 405 }), [allow]);
      return true;
    }
    pageAt(path).then(
      page => respond(exchange, page),
      (error: unknown) => respondProblem(exchange, asRpcError(error), []),
    );
    return true;
  };
}

function respond(exchange: ServerExchange, { fields, body, tag }: Page): void {
  const isKnown = exchange.fields.get("if-none-match")?.includes(tag.slice(2)) === true;
  if (isKnown) exchange.respond(304, fields, undefined);
  else exchange.respond(200, fields, body);
}
