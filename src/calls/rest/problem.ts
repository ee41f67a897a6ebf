import type { DescMessage } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { jsonCodec } from "../../contract/index.ts";
import { codeRow, type ErrorDetail, RpcError, type RpcErrorOptions } from "../../errors/index.ts";
import { InvalidRequestError } from "../rpc/index.ts";
import { violationsMax } from "./limits.ts";

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

/** One violation as an error; `field` is `""` for the request as a whole. */
export function refused(field: string, problem: string, rule: string, options?: RpcErrorOptions): RestRequestError {
  const text = field === "" ? problem : `${field} ${problem}`;
  return new RestRequestError(text, [{ field, message: problem, rule }], options);
}

/** The phrases of the statuses that problems have (RFC 9110, section 15; RFC 6585; 499 is customary). */
const phrases: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  423: "Locked",
  425: "Too Early",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

export function statusPhrase(status: number): string {
  return phrases[status] ?? "Error";
}

/**
 * An error as problem details (RFC 9457). `unknown` and `internal` never carry their message.
 * @param names how violations of the contract's rules spell fields
 */
export function problem(
  error: RpcError,
  path: string,
  names: "json" | "proto" = "proto",
): { readonly status: number; readonly body: string } {
  const status = error.httpStatus ?? codeRow(error.code).http;
  const isHidden = error.code === "unknown" || error.code === "internal";
  const json: Record<string, unknown> = {
    type: error.problemType ?? "about:blank",
    title: statusPhrase(status),
    status,
    ...(isHidden || error.message === "" ? {} : { detail: error.message }),
    instance: path,
    code: error.code,
  };
  const { violations, rest } = violationsOf(error, names);
  if (violations !== undefined) json["violations"] = violations.slice(0, violationsMax);
  if (rest.length > 0) json["details"] = rest.map(detailJson);
  return { status, body: JSON.stringify(json) };
}

/** The violations of an error, and the details that do not hold them. */
function violationsOf(
  error: RpcError,
  names: "json" | "proto",
): { readonly violations: readonly Violation[] | undefined; readonly rest: readonly ErrorDetail[] } {
  if (error instanceof RestRequestError) return { violations: error.violations, rest: error.details };
  if (error instanceof InvalidRequestError) {
    const violations = error.ruleViolations.map(({ field, message, rule }) => ({ field: field(names), message, rule }));
    return { violations, rest: [] };
  }
  const violations: Violation[] = [];
  const rest: ErrorDetail[] = [];
  for (const detail of error.details) {
    const found = "type" in detail ? undefined : detail[1]["fieldViolations"];
    if (Array.isArray(found)) violations.push(...found.map(violationOf));
    else rest.push(detail);
  }
  return { violations: violations.length === 0 ? undefined : violations, rest };
}

function violationOf(one: { field?: string; description?: string; reason?: string }): Violation {
  return { field: one.field ?? "", message: one.description ?? "", rule: one.reason ?? "" };
}

/** A detail as `google.rpc.Status` shows it in JSON: an Any. */
function detailJson(detail: ErrorDetail): unknown {
  if ("type" in detail) {
    if (detail.json !== undefined) {
      return { "@type": `type.googleapis.com/${detail.type}`, ...(JSON.parse(detail.json) as object) };
    }
    const value = Buffer.from(detail.value).toString("base64");
    return { "@type": `type.googleapis.com/${detail.type}`, value };
  }
  const schema = detail[0] as DescMessage;
  const text = jsonCodec(schema).encode(create(schema, detail[1] as never));
  return { "@type": `type.googleapis.com/${schema.typeName}`, ...(JSON.parse(text) as object) };
}
