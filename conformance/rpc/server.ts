import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createServer } from "../../src/exports/index.ts";
import { frame, readFrames } from "./frames.ts";
import {
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { conformanceService } from "./service.ts";

/**
 * The server under test, started by the referee once for each combination of protocol, version and TLS: reads what is
 * wanted from stdin, says on stdout where it listens, both with a length of four bytes in front.
 */
const first = await readFrames(process.stdin)[Symbol.asyncIterator]().next();
if (first.done === true) throw new Error("stdin ended before the request was complete");
const request = fromBinary(ServerCompatRequestSchema, first.value);
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
process.stdout.write(frame(response));
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
