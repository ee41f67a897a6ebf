/** `trunkline/sqlite-writer`: the thread in which the embedded broker writes its file; not to be imported. */
import { serveWrites } from "../events/brokers/embedded/index.ts";

serveWrites();
