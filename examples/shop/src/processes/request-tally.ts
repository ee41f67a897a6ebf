import { openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Interceptor } from "trunkline";
import type { ServiceName } from "./services.ts";

const first = "1";
const again = "2";

/**
 * Counts the requests that a process is given, one byte of a file for each: what a counter in memory knows is lost when its
 * process is killed, and that is when the number matters.
 * @param folder where the file is kept, named after service and instance; an instance that is started again goes on in it
 */
export function requestTally(folder: string, service: ServiceName, instance: number): Interceptor {
  const file = openSync(join(folder, `${service}-${instance}.tally`), "a");
  return (call, next) => {
    writeSync(file, call.metadata.has("grpc-previous-rpc-attempts") ? again : first);
    return next();
  };
}

export interface Tally {
  /** Requests that reached an instance, attempts beyond the first included. */
  readonly requests: number;
  /** Those that their client had sent before. */
  readonly retries: number;
}

/** What all instances of a service have counted until now. */
export function readTally(folder: string, service: ServiceName): Tally {
  let requests = 0;
  let retries = 0;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(`${service}-`) || !name.endsWith(".tally")) continue;
    const text = readFileSync(join(folder, name), "latin1");
    requests += text.length;
    for (const mark of text) if (mark === again) retries++;
  }
  return { requests, retries };
}
