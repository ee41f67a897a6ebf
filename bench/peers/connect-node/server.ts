import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { portOf, serving } from "../protocol/serve.ts";
import { routes } from "./routes.ts";

const server = createServer(connectNodeAdapter({ routes }));
server.listen(0, "127.0.0.1", () => serving(portOf(server)));
