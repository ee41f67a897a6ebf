/** A program with two workers: says where they listen, drains on SIGTERM; each answer says which process gave it. */
import { isPrimary } from "node:cluster";
import process from "node:process";
import { createServer, type Interceptor } from "trunkline";

const pid: Interceptor = async (call, next) => {
  call.responseHeaders.set("x-pid", String(process.pid));
  return next();
};
const server = createServer({ services: [], interceptors: [pid], workers: Number(process.argv[2]) });
const { port } = await server.listen({ host: "127.0.0.1", port: Number(process.argv[3] ?? 0) });
if (isPrimary) {
  process.stdout.write(`${port}\n`);
  process.once("SIGTERM", () => void server.drain());
}
