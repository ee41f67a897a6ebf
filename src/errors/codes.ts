/**
 * The sixteen canonical error codes and what each is called elsewhere: one table for gRPC numbers, Connect's spelling
 * and HTTP statuses.
 *
 * Sources: google/rpc/code.proto for the numbers and HTTP statuses; the Connect protocol's error-code table for the
 * spelling on its wire and its own HTTP statuses, which differ from google.rpc's in a few places.
 */

export type ErrorCode =
  | "cancelled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

export interface CodeRow {
  readonly code: ErrorCode;
  /** The number in `grpc-status` and `google.rpc.Status.code`. */
  readonly grpc: number;
  /** The spelling in a Connect error's `code`. */
  readonly connect: string;
  /** The status of a REST answer (google.rpc table). */
  readonly http: number;
  /** The status of a Connect unary answer. */
  readonly connectHttp: number;
}

const rows: readonly CodeRow[] = [
  { code: "cancelled", grpc: 1, connect: "canceled", http: 499, connectHttp: 499 },
  { code: "unknown", grpc: 2, connect: "unknown", http: 500, connectHttp: 500 },
  { code: "invalid_argument", grpc: 3, connect: "invalid_argument", http: 400, connectHttp: 400 },
  { code: "deadline_exceeded", grpc: 4, connect: "deadline_exceeded", http: 504, connectHttp: 504 },
  { code: "not_found", grpc: 5, connect: "not_found", http: 404, connectHttp: 404 },
  { code: "already_exists", grpc: 6, connect: "already_exists", http: 409, connectHttp: 409 },
  { code: "permission_denied", grpc: 7, connect: "permission_denied", http: 403, connectHttp: 403 },
  { code: "resource_exhausted", grpc: 8, connect: "resource_exhausted", http: 429, connectHttp: 429 },
  { code: "failed_precondition", grpc: 9, connect: "failed_precondition", http: 400, connectHttp: 400 },
  { code: "aborted", grpc: 10, connect: "aborted", http: 409, connectHttp: 409 },
  { code: "out_of_range", grpc: 11, connect: "out_of_range", http: 400, connectHttp: 400 },
  { code: "unimplemented", grpc: 12, connect: "unimplemented", http: 501, connectHttp: 501 },
  { code: "internal", grpc: 13, connect: "internal", http: 500, connectHttp: 500 },
  { code: "unavailable", grpc: 14, connect: "unavailable", http: 503, connectHttp: 503 },
  { code: "data_loss", grpc: 15, connect: "data_loss", http: 500, connectHttp: 500 },
  { code: "unauthenticated", grpc: 16, connect: "unauthenticated", http: 401, connectHttp: 401 },
];

const byCode = new Map(rows.map(row => [row.code, row]));
const byConnect = new Map(rows.map(row => [row.connect, row.code]));

/** Every code, in the order of the gRPC numbers. */
export const errorCodes: readonly CodeRow[] = rows;

/** The row of a code. */
export function codeRow(code: ErrorCode): CodeRow {
  const row = byCode.get(code);
  if (row === undefined) {
    throw new TypeError(`"${String(code)}" is not an error code; the codes are ${[...byCode.keys()].join(", ")}`);
  }
  return row;
}

/** The code of a `grpc-status` number other than 0; numbers outside 1–16 are `unknown`, as in gRPC. */
export function codeFromGrpc(status: number): ErrorCode {
  return rows[status - 1]?.code ?? "unknown";
}

/** The code of a Connect spelling, or `undefined` when there is none of that name. */
export function codeFromConnect(name: string): ErrorCode | undefined {
  return byConnect.get(name);
}

/** Whether a string is one of the canonical code names. */
export function isErrorCode(name: string): name is ErrorCode {
  return byCode.has(name as ErrorCode);
}

/**
 * The code for an HTTP status that carries no RPC error of its own, for example from a proxy on the way
 * (gRPC's http-grpc-status-mapping, which Connect shares).
 */
export function codeFromHttp(status: number): ErrorCode {
  switch (status) {
    case 400:
      return "internal";
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "unimplemented";
    case 429:
    case 502:
    case 503:
    case 504:
      return "unavailable";
    default:
      return "unknown";
  }
}
