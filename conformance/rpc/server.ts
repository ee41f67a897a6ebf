import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createServer } from "../../src/exports/index.ts";
import {
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { conformanceService } from "./service.ts";

/**
 * The server under test, started by the referee once for each combination of protocol, version and TLS: reads what is
 * wanted from stdin, says on stdout where it listens, both with a length of four bytes in front.
 */
async function readRequest(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    const whole = Buffer.concat(chunks);
    if (size >= 4 && size >= 4 + whole.readUInt32BE(0)) return whole.subarray(4, 4 + whole.readUInt32BE(0));
  }
  throw new Error("stdin ended before the request was complete");
}

const request = fromBinary(ServerCompatRequestSchema, await readRequest());
const credentials = request.useTls ? request.serverCreds : undefined;
const server = createServer({
  services: [conformanceService],
  tls:
    credentials === undefined
      ? undefined
      : {
          cert: credentials.cert,
          key: credentials.key,
          clientCa: request.clientTlsCert.length > 0 ? request.clientTlsCert : undefined,
        },
  limits: request.messageReceiveLimit > 0 ? { receiveBytesMax: request.messageReceiveLimit } : {},
});
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
const response = toBinary(
  ServerCompatResponseSchema,
  create(ServerCompatResponseSchema, { host: "127.0.0.1", port, pemCert: credentials?.cert ?? new Uint8Array(0) }),
);
const length = Buffer.alloc(4);
length.writeUInt32BE(response.length);
process.stdout.write(Buffer.concat([length, response]));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
