import { connectServices } from "../../../src/exports/connect.ts";
import { createServer } from "../../../src/exports/index.ts";
import { routes } from "../connect-node/routes.ts";
import { serving } from "../protocol/serve.ts";

const server = createServer({ services: connectServices(routes) });
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
serving(port);
