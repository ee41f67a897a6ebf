import process from "node:process";

/**
 * Node's cryptography, loaded by the first who needs it: OpenSSL takes a good part of the start of a service that may never
 * need it (`bench/start.ts`).
 */
export function cryptoModule(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}
