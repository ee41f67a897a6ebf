import process from "node:process";

/**
 * Node's TLS, loaded by the first who needs it: its loading is a third of the start of a service that does without
 * (`bench/start.ts`).
 */
export function tlsModule(): typeof import("node:tls") {
  return process.getBuiltinModule("node:tls");
}
