import { runEvents } from "../protocol/events.ts";
import { callsOfServer } from "../trunkline/rpc-beside-events.ts";

await runEvents({ "rpc-beside-embedded": task => callsOfServer(task, false) });
