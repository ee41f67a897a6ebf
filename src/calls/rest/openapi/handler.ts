import type { Method } from "../../../contract/index.ts";
import { RpcError } from "../../../errors/index.ts";
import { cryptoModule } from "../../../platform/index.ts";
import { constantField, HeaderField, type ServerExchange } from "../../../wire/index.ts";
import { asRpcError, discardBody, type HttpHandler } from "../../rpc/index.ts";
import { entityTag } from "../conditional.ts";
import { respondProblem } from "../respond-error.ts";
import type { RestRoutes } from "../routes.ts";
import type { OpenApiOptions, OperationAdditions } from "./document.ts";

interface Page {
  readonly fields: readonly HeaderField[];
  readonly body: Buffer;
  readonly tag: string;
}

/** Serves `/openapi.json` and `/docs`. Both are made for the first who asks. */
export function openApiHandler(
  routes: RestRoutes,
  options: OpenApiOptions,
  additions?: (method: Method) => OperationAdditions,
): HttpHandler {
  let pages: Promise<{ readonly json: Page; readonly docs: Page }> | undefined;
  return exchange => {
    const path = exchange.path.value.split("?", 1)[0];
    if (path !== "/openapi.json" && path !== "/docs") return false;
    discardBody(exchange);
    if (exchange.method !== "GET" && exchange.method !== "HEAD") {
      const allow = new HeaderField("allow", "GET, HEAD, OPTIONS");
      if (exchange.method === "OPTIONS") exchange.respond(204, [allow], undefined);
      else respondProblem(exchange, new RpcError("unimplemented", "this is for GET", { httpStatus: 405 }), [allow]);
      return true;
    }
    pages ??= render(routes, options, additions);
    pages.then(
      ({ json, docs }) => respond(exchange, path === "/docs" ? docs : json),
      (error: unknown) => respondProblem(exchange, asRpcError(error), []),
    );
    return true;
  };
}

async function render(
  routes: RestRoutes,
  options: OpenApiOptions,
  additions: ((method: Method) => OperationAdditions) | undefined,
) {
  // Loaded when wanted: the rules' descriptors take a while, and most processes never show a document.
  const [{ openApiDocument }, { docsPage }] = await Promise.all([import("./document.ts"), import("./page.ts")]);
  const document = openApiDocument(routes.all, options, additions);
  const { html, contentSecurityPolicy } = docsPage(document, text => cryptoModule().hash("sha256", text, "base64"));
  const page = (text: string, fields: readonly HeaderField[]): Page => {
    const tag = entityTag(text);
    const always = [new HeaderField("etag", tag), constantField("cache-control", "no-cache")];
    return {
      body: Buffer.from(text),
      tag,
      fields: [...fields, ...always, constantField("x-content-type-options", "nosniff")],
    };
  };
  return {
    json: page(JSON.stringify(document), [constantField("content-type", "application/json")]),
    docs: page(html, [
      constantField("content-type", "text/html; charset=utf-8"),
      new HeaderField("content-security-policy", contentSecurityPolicy),
      constantField("referrer-policy", "no-referrer"),
    ]),
  };
}

function respond(exchange: ServerExchange, { fields, body, tag }: Page): void {
  const isKnown = exchange.fields.get("if-none-match")?.includes(tag.slice(2)) === true;
  if (isKnown) exchange.respond(304, fields, undefined);
  else exchange.respond(200, fields, body);
}
