import { RpcError } from "../../../errors/index.ts";
import { HeaderField } from "../../../wire/index.ts";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds in a `grpc-timeout`; at most 8 digits and a unit. @throws RpcError invalid_argument */
export function readGrpcTimeout(value: string): number {
  const unit = unitMs[value.slice(-1)];
  const digits = value.slice(0, -1);
  if (unit === undefined || !/^[0-9]{1,8}$/.test(digits)) {
    throw new RpcError("invalid_argument", `grpc-timeout "${value}" is not 1 to 8 digits and a unit of HMSmun`);
  }
  return Number(digits) * unit;
}

/** `grpc-timeout` for what is left, rounded up so that the server never gives up first. */
export function grpcTimeoutField(timeoutMs: number): HeaderField {
  const ms = Math.max(1, Math.ceil(timeoutMs));
  if (ms < 1e8) return new HeaderField("grpc-timeout", `${ms}m`);
  const seconds = Math.ceil(ms / 1000);
  return new HeaderField(
    "grpc-timeout",
    seconds < 1e8 ? `${seconds}S` : `${Math.min(99_999_999, Math.ceil(seconds / 3600))}H`,
  );
}

/** Milliseconds in a `connect-timeout-ms`; at most 10 digits. @throws RpcError invalid_argument */
export function readConnectTimeout(value: string): number {
  if (!/^[0-9]{1,10}$/.test(value)) {
    throw new RpcError("invalid_argument", `connect-timeout-ms "${value}" is not 1 to 10 digits`);
  }
  return Number(value);
}

/** `connect-timeout-ms` for what is left, rounded up. */
export function connectTimeoutField(timeoutMs: number): HeaderField {
  return new HeaderField("connect-timeout-ms", String(Math.min(9_999_999_999, Math.max(1, Math.ceil(timeoutMs)))));
}
