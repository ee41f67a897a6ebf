import { createGrpcTransport } from "@connectrpc/connect-node";
import { driveTransport } from "../connect-node/load.ts";

await driveTransport(({ port }) => createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
