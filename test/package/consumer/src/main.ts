// A server and its clients, as the first page of the documentation has them; prints what they saw.
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Call, createClient, createServer, type Handlers, implement, isRpcError, RpcError } from "trunkline";
import { memoryPlatform } from "trunkline/testing";
import { GreetingService } from "./gen/greeting/v1/greeting_pb.ts";

class Greetings implements Handlers<typeof GreetingService> {
  async greet({ firstName }: { readonly firstName: string }, call: Call) {
    if (firstName === "nobody") throw new RpcError("not_found", `there is no ${firstName}`);
    call.responseHeaders.set("x-greeter", "greta");
    return { firstName, text: `Hello, ${firstName}!`, at: timestampFromMs(0) };
  }

  async *count({ to }: { readonly to: number }) {
    for (let value = 1; value <= to; value++) yield { value };
  }
}

const server = createServer({ services: [implement(GreetingService, new Greetings())] });
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
const address = `127.0.0.1:${port}`;

const seen = new Map<string, unknown>();
for (const protocol of ["grpc", "connect", "grpc-web"] as const) {
  const client = createClient(GreetingService, address, { protocol });
  const { text } = await client.greet({ firstName: "Ada" }, { timeoutMs: 5000 });
  const numbers: number[] = [];
  for await (const { value } of client.count({ to: 3 })) numbers.push(value);
  const error: unknown = await client.greet({ firstName: "nobody" }).catch((reason: unknown) => reason);
  seen.set(protocol, [text, numbers, isRpcError(error, "not_found")]);
}
const rest = async (path: string) => {
  const response = await fetch(`http://${address}${path}`);
  return [response.status, await response.json()];
};
seen.set("rest", await rest("/v1/greetings/Ada"));
const [status, problem] = await rest("/v1/greetings/Wolfeschlegelsteinhausen");
seen.set("refused", [
  status,
  (problem as { violations: readonly { rule: string }[] }).violations.map(({ rule }) => rule),
]);
const [, document] = await rest("/openapi.json");
seen.set("openapi", Object.keys((document as { paths: object }).paths));
seen.set("testing", typeof memoryPlatform);
await server.drain({ timeoutMs: 1000 });

process.stdout.write(`${JSON.stringify(Object.fromEntries(seen))}\n`);
process.exit();
