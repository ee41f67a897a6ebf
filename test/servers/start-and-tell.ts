/** For `servers.test.ts`: starts the server that it is asked for, tells its address and pid, and waits to be killed. */
import process from "node:process";
import { startKafka, startPostgres, startRabbitmq } from "./index.ts";

const starts = { kafka: startKafka, postgres: startPostgres, rabbitmq: startRabbitmq };
const start = starts[process.argv[2] as keyof typeof starts];
const { url, pid } = await start();
process.stdout.write(`${JSON.stringify({ url, pid })}\n`);
process.stdin.resume();
