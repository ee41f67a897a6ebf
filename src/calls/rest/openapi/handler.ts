import type { Method } from "../../../contract/index.ts";
import { cryptoModule } from "../../../platform/index.ts";
import { constantField, HeaderField } from "../../../wire/index.ts";
import type { HttpHandler } from "../../rpc/index.ts";
import { jsonPage, type Page, pageOf, pagesHandler } from "../pages.ts";
import type { RestRoutes } from "../routes.ts";
import type { OpenApiOptions, OperationAdditions } from "./document.ts";

/** Serves `/openapi.json` and `/docs`. Both are made for the first who asks. */
export function openApiHandler(
  routes: RestRoutes,
  options: OpenApiOptions,
  additions?: (method: Method) => OperationAdditions,
): HttpHandler {
  let pages: Promise<{ readonly json: Page; readonly docs: Page }> | undefined;
  return pagesHandler(["/openapi.json", "/docs"], async path => {
    pages ??= render(routes, options, additions);
    const { json, docs } = await pages;
    return path === "/docs" ? docs : json;
  });
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
  return {
    json: jsonPage(document),
    docs: pageOf(html, [
      constantField("content-type", "text/html; charset=utf-8"),
      new HeaderField("content-security-policy", contentSecurityPolicy),
      constantField("referrer-policy", "no-referrer"),
    ]),
  };
}
