import { discardBody, type HttpHandler } from "../calls/rpc/index.ts";
import type { Clock, Platform } from "../platform/index.ts";
import { constantField } from "../wire/index.ts";

/** Resolves, perhaps with a detail to show, when a part of the service works; throws or rejects when it does not. */
export type ReadinessCheck = (signal: AbortSignal) => unknown;

interface CheckResult {
  readonly status: "ready" | "not_ready";
  readonly detail?: string;
}

const json = [constantField("content-type", "application/json"), constantField("cache-control", "no-store")];

/** Probes ask every few seconds and give up soon themselves. */
const checkTimeoutMs = 2_000;

/**
 * `/livez` and `/healthz`: the process is alive. `/readyz`: it takes work: 503 while it drains or one of its checks fails.
 * For probes; GET and HEAD only. Probes that come while checks run share their result.
 */
export function healthRoutes(checks: Readonly<Record<string, ReadinessCheck>>, platform: Platform): HttpHandler {
  let running: Promise<Readonly<Record<string, CheckResult>>> | undefined;
  const runAll = async (): Promise<Readonly<Record<string, CheckResult>>> => {
    const results = Object.entries(checks).map(
      async ([name, check]) => [name, await run(check, platform.clock)] as const,
    );
    return Object.fromEntries(await Promise.all(results));
  };
  return (exchange, server) => {
    const target = exchange.path.value;
    const query = target.indexOf("?");
    const path = query === -1 ? target : target.slice(0, query);
    const isLiveness = path === "/livez" || path === "/healthz";
    if (!isLiveness && path !== "/readyz") return false;
    if (exchange.method !== "GET" && exchange.method !== "HEAD") return false;
    discardBody(exchange);
    if (isLiveness) {
      exchange.respond(200, json, '{"status":"alive"}');
      return true;
    }
    running ??= runAll().finally(() => {
      running = undefined;
    });
    void running.then(results => {
      const isReady = !server.isDraining && Object.values(results).every(({ status }) => status === "ready");
      const status = isReady ? "ready" : "not_ready";
      exchange.respond(isReady ? 200 : 503, json, JSON.stringify({ status, checks: results }));
    });
    return true;
  };
}

async function run(check: ReadinessCheck, clock: Clock): Promise<CheckResult> {
  const controller = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = clock.after(checkTimeoutMs, () => {
    const error = new Error(`no answer within ${checkTimeoutMs} ms`);
    controller.abort(error);
    late.reject(error);
  });
  try {
    const detail = await Promise.race([(async () => check(controller.signal))(), late.promise]);
    return typeof detail === "string" ? { status: "ready", detail } : { status: "ready" };
  } catch (error) {
    return { status: "not_ready", detail: error instanceof Error ? error.message : String(error) };
  } finally {
    timer.cancel();
  }
}
