import { RpcError } from "../../errors/index.ts";
import type { Call, ClientCall, Interceptor } from "../rpc/index.ts";
import { isBearerToken } from "./bearer-token.ts";
import { isLoopbackTarget } from "./loopback.ts";

export interface BearerOptions {
  /** Also send the token where everybody on the way can read it, as in a mesh whose proxies encrypt. @default false */
  readonly allowPlaintext?: boolean | undefined;
}

/**
 * Sends a bearer token with every call of a client (RFC 6750). A function is asked for each call: it may keep its token
 * until shortly before it expires. A call that has an `authorization` of its own keeps it.
 *
 * Without TLS, tokens go only to `localhost`, 127.0.0.0/8 and `[::1]`.
 *
 * ```ts
 * createClient(OrderService, target, { tls: {}, interceptors: [bearer(() => tokens.current())] });
 * ```
 * @throws TypeError for a token that is none
 */
export function bearer(
  token: string | (() => string | Promise<string>),
  { allowPlaintext = false }: BearerOptions = {},
): Interceptor {
  if (typeof token === "string" && !isBearerToken(token)) {
    throw new TypeError("bearer: the token must be letters, digits and -._~+/ with = at the end (RFC 6750)");
  }
  return async (call, next) => {
    checkWay(call, allowPlaintext);
    if (!call.metadata.has("authorization")) {
      const text = typeof token === "string" ? token : await tokenFrom(token);
      call.metadata.set("authorization", `Bearer ${text}`);
    }
    return next();
  };
}

function checkWay(call: Call, allowPlaintext: boolean): void {
  if (call.side !== "client") throw new TypeError("bearer is for clients; servers use authenticate(…)");
  const { channel } = (call as ClientCall).settings;
  if (allowPlaintext || channel.scheme.value === "https" || isLoopbackTarget(channel.target)) return;
  throw new RpcError(
    "failed_precondition",
    `a bearer token is not sent to ${channel.target} without TLS, where others could read it; give the client \`tls\`, or say allowPlaintext: true`,
    { unprocessed: true },
  );
}

async function tokenFrom(source: () => string | Promise<string>): Promise<string> {
  let token: string;
  try {
    token = await source();
  } catch (cause) {
    throw cause instanceof RpcError
      ? cause
      : new RpcError("unauthenticated", "the function that gives the bearer token failed", {
          cause,
          unprocessed: true,
        });
  }
  if (typeof token === "string" && isBearerToken(token)) return token;
  const reason = "the function that gives the bearer token gave something else";
  throw new RpcError("unauthenticated", reason, { unprocessed: true });
}
