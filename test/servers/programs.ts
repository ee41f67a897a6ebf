import process from "node:process";
import { type Provisioned, provisioned } from "../provisioned.ts";

export type ServerName = "rabbitmq" | "kafka" | "postgres";

/** Where nothing may be missing, a test fails instead of being skipped. */
const skipsNothing = process.env["CI"] === "true";

/** For the option `skip` of a test: why it cannot have a server that it shares with others, or `false`. */
export function skipWithout(name: ServerName): string | false {
  const outcome = provisioned(name);
  return "reason" in outcome && !skipsNothing ? outcome.reason : false;
}

/** For the option `skip` of a test: why it cannot have a server of its own, which it may stop and kill, or `false`. */
export function skipWithoutOwn(name: ServerName): string | false {
  const outcome = provisioned(name);
  if ("address" in outcome) return `the environment names a ${name} that tests must not stop`;
  return skipWithout(name);
}

/** What starts a server of one's own; throws where `skipWithoutOwn` gives a reason. */
export function programOf(name: ServerName): string {
  const outcome: Provisioned = provisioned(name);
  if ("path" in outcome) return outcome.path;
  const why = "address" in outcome ? "the environment names one that runs already" : outcome.reason;
  throw new Error(`there is no program for a ${name} of one's own: ${why}`);
}

/** The server that the environment names. */
export function givenAddress(name: ServerName): string | undefined {
  const outcome = provisioned(name);
  return "address" in outcome ? outcome.address : undefined;
}
