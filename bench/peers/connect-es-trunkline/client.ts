import { createTransport } from "../../../src/exports/connect.ts";
import { driveTransport } from "../connect-node/load.ts";

await driveTransport(({ port }) => createTransport(`127.0.0.1:${port}`));
