/** A process of the fault tests: `main.ts <name> answer|fail|<port of the service behind it>`; prints its port. */
import process from "node:process";
import { createClient, createServer, implement, RpcError } from "../../src/exports/index.ts";
import { RelayService } from "../gen/faults/relay_pb.ts";

const [name = "", role = "answer"] = process.argv.slice(2);
const next = /^[0-9]+$/.test(role) ? createClient(RelayService, `127.0.0.1:${role}`) : undefined;
let asked = 0;

const relay = implement(RelayService, {
  ask() {
    asked++;
    if (role === "fail") throw new RpcError("unavailable", `${name} is down`);
    return next === undefined ? { name } : next.ask({});
  },
  count: () => ({ asked }),
});
const server = createServer({ services: [relay] });
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
process.stdout.write(`${port}\n`);
// Ends with the process that started it, also when that is killed.
process.stdin.resume().once("end", () => process.exit(0));
