import { createConnectTransport } from "@connectrpc/connect-node";
import { driveTransport } from "./load.ts";

await driveTransport(({ port }) => createConnectTransport({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: "2" }));
