import type { FieldList, ServerExchange } from "../../wire/index.ts";
import type { RequestBody } from "./request-body.ts";

/** A host with a port, and nothing that would move the border between host and path in a URL. */
const authorityPattern = /^[^\s/?#@\\]*$/;

/**
 * The request as the standard has it.
 * @throws TypeError for what it cannot express: methods that it forbids (TRACE), an authority that is no host
 */
export function requestOf(exchange: ServerExchange, body: RequestBody): Request {
  const { method, scheme, authority, path, fields } = exchange;
  if (!/^https?$/.test(scheme) || !authorityPattern.test(authority) || !path.value.startsWith("/")) {
    throw new TypeError(`"${scheme}", "${authority}" and "${path.value}" make no URL`);
  }
  const hasBody = !exchange.bodyIsAbsent && method !== "GET" && method !== "HEAD";
  const url = `${scheme}://${authority === "" ? "localhost" : authority}${path.value}`;
  return new Request(url, {
    method,
    headers: headersOf(fields),
    signal: body.signal,
    ...(hasBody ? { body: body.stream, duplex: "half" } : {}),
  } as RequestInit);
}

function headersOf(fields: FieldList): Headers {
  const headers = new Headers();
  for (const { name, value } of fields) {
    if (connectionFields.has(name)) continue;
    // HTTP/2 clients send cookies one by one; joined by commas, as other fields are, they would be one (RFC 9113, 8.2.3).
    if (name !== "cookie") headers.append(name, value);
    else if (!headers.has(name)) headers.append(name, fields.get(name) as string);
  }
  return headers;
}

/** Fields that belong to a connection and end here (RFC 9110, section 7.6.1). */
const connectionFields = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
