/**
 * For the tests of this folder: `start-and-tell.ts <rabbitmq|kafka|postgres>` starts a server, tells its address and pid,
 * and waits to be killed; `start-and-tell.ts shared <group>` shares one.
 */
import process from "node:process";
import { sharedPostgres, startKafka, startPostgres, startRabbitmq } from "./index.ts";

const [name = "", group = ""] = process.argv.slice(2);
const starts = {
  kafka: startKafka,
  postgres: startPostgres,
  rabbitmq: startRabbitmq,
  shared: async () => ({ ...(await sharedPostgres({ group, idleMs: 100 })), pid: undefined }),
};
const { url, pid } = await starts[name as keyof typeof starts]();
process.stdout.write(`${JSON.stringify({ url, pid })}\n`);
process.stdin.resume();
