import { discardBody, type HttpHandler } from "../calls/rpc/index.ts";
import { constantField } from "../wire/index.ts";

const json = [constantField("content-type", "application/json"), constantField("cache-control", "no-store")];

/**
 * `/livez` and `/healthz`: the process is alive. `/readyz`: it takes work, with 503 while it drains. For probes; GET and
 * HEAD only.
 */
export const healthRoutes: HttpHandler = (exchange, server) => {
  const path = exchange.path.value;
  const isLiveness = path === "/livez" || path === "/healthz";
  if (!isLiveness && path !== "/readyz") return false;
  if (exchange.method !== "GET" && exchange.method !== "HEAD") return false;
  discardBody(exchange);
  if (isLiveness) {
    exchange.respond(200, json, '{"status":"alive"}');
  } else {
    const isReady = !server.isDraining;
    exchange.respond(
      isReady ? 200 : 503,
      json,
      JSON.stringify({ status: isReady ? "ready" : "not_ready", checks: {} }),
    );
  }
  return true;
};
