/**
 * The process that runs a shared server: `keeper.ts <rabbitmq|kafka|postgres> <name> <idle milliseconds>`. Who connects to
 * the abstract socket of that name gets one line of JSON as soon as the server answers, `{"address": …}` or
 * `{"failure": "…"}`, and keeps the server by keeping the connection, which the system closes with the process. The given
 * time after the last of them, the server ends.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import process from "node:process";
import { startKafka } from "./kafka.ts";
import { startPostgres } from "./postgres.ts";
import { startRabbitmq } from "./rabbitmq.ts";
import type { OwnServer } from "./server-process.ts";
import type { KeeperAnswer } from "./shared.ts";

interface Address {
  readonly url: string;
  readonly tlsUrl?: string;
  readonly ca?: string;
  readonly limitedUrl?: string;
}

const starts: Readonly<Record<string, () => Promise<Address & OwnServer>>> = {
  rabbitmq: startRabbitmq,
  kafka: startKafka,
  postgres: startPostgres,
};
const [name = "", socketName = "", idleMs = ""] = process.argv.slice(2);
const start = starts[name];
if (start === undefined) throw new Error(`there is no server "${name}"`);

/** Who started this may be slow to connect. */
const firstUserMsMax = 15_000;

const told = Promise.withResolvers<KeeperAnswer>();
let users = 0;
let idle: NodeJS.Timeout | undefined;
/** From now on nobody gets in; who still tries starts the next keeper. */
const endAfter = (ms: number) => {
  idle = setTimeout(() => keeper.close(), ms);
};

const keeper = createServer(user => {
  users++;
  clearTimeout(idle);
  user.on("error", () => {});
  user.on("close", () => {
    users--;
    if (users === 0) endAfter(Number(idleMs));
  });
  user.resume();
  void told.promise.then(answer => {
    user.write(`${JSON.stringify(answer)}\n`);
    if ("failure" in answer) user.end();
  });
});
// Another keeper was first: who started this one finds that one.
keeper.on("error", () => process.exit(0));
endAfter(firstUserMsMax);
keeper.listen(`\0${socketName}`);
await once(keeper, "listening");
const closed = once(keeper, "close");
try {
  await using server = await start();
  const { url, tlsUrl, ca, limitedUrl }: Address = server;
  told.resolve({ address: { url, tlsUrl, ca, limitedUrl } });
  await closed;
} catch (error) {
  // Nobody else is to wait for what has failed.
  if (keeper.listening) keeper.close();
  clearTimeout(idle);
  told.resolve({ failure: error instanceof Error ? error.message : String(error) });
}
