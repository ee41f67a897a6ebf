import { codeRow, RpcError, type RpcErrorOptions } from "../../errors/index.ts";

/** What is wrong with one field of a request; `rule` names the check, for example `json.syntax`. */
export interface Violation {
  readonly field: string;
  readonly message: string;
  readonly rule: string;
}

/** A request that does not fit its contract. */
export class RestRequestError extends RpcError {
  readonly violations: readonly Violation[];

  constructor(message: string, violations: readonly Violation[], options: RpcErrorOptions = {}) {
    super("invalid_argument", message, options);
    this.violations = violations;
  }
}

/** The phrases of the statuses that problems have (RFC 9110, section 15; 499 is customary). */
const phrases: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

export function statusPhrase(status: number): string {
  return phrases[status] ?? "Error";
}

/** An error as problem details (RFC 9457). `unknown` and `internal` never carry their message. */
export function problem(error: RpcError, path: string): { readonly status: number; readonly body: string } {
  const status = codeRow(error.code).http;
  const isHidden = error.code === "unknown" || error.code === "internal";
  const json: Record<string, unknown> = {
    type: "about:blank",
    title: statusPhrase(status),
    status,
    ...(isHidden || error.message === "" ? {} : { detail: error.message }),
    instance: path,
    code: error.code,
  };
  const violations = violationsOf(error);
  return { status, body: JSON.stringify(violations === undefined ? json : { ...json, violations }) };
}

function violationsOf(error: RpcError): readonly Violation[] | undefined {
  if (error instanceof Error && "violations" in error && Array.isArray(error.violations)) return error.violations;
  for (const detail of error.details) {
    if ("type" in detail) continue;
    const found = detail[1].fieldViolations;
    if (!Array.isArray(found)) continue;
    return found.map((one: { field?: string; description?: string; reason?: string }) => ({
      field: one.field ?? "",
      message: one.description ?? "",
      rule: one.reason ?? "",
    }));
  }
  return undefined;
}
