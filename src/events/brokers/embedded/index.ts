/**
 * The embedded broker: events in a SQLite file that several processes of one machine may share, with the guarantees of a
 * server and without one. Imports only the port, `log` and the platform. Start at `schema.ts`, what the file holds; then
 * `embedded-store.ts`; `write-transaction.ts` is all that changes the file.
 */
import { systemPlatform, whenFree } from "../../../platform/index.ts";
import type { BrokerDriver, DriverContext } from "../../driver.ts";
import { LogDriver } from "../../log/index.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { brokerError } from "./failures.ts";
import { InlineWriter } from "./inline-writer.ts";
import { busyMs, embeddedBodyBytesMax, embeddedCommitEveryMs, heartbeatsPerLease } from "./limits.ts";
import { LogReader } from "./log-reader.ts";
import { openForReading, openForWriting } from "./open-file.ts";
import { ThreadWriter } from "./thread-writer.ts";
import { type EmbeddedUrl, parseEmbeddedUrl } from "./url.ts";
import type { LogWriter } from "./writes.ts";

export { serveWrites } from "./thread-writer.ts";

/**
 * `sqlite:./events.db`; the path is relative to the working directory, the folder is made when it is missing. Options in the
 * query: `durability` (`full`: confirmed events survive a power cut; `normal`: they survive the end of the process),
 * `partitions` of new topics (8), `leaseMs` after which the lanes of a member that is silent go to others (10,000),
 * `retentionMs` (7 days) and `retentionBytes` (1 GiB): what is older or more is removed once every group that had a member
 * within `retentionMs` has settled it; publishes are refused at 4 times `retentionBytes`. `writer`: whether a `thread` waits
 * for the disk or the program does (`inline`).
 *
 * @throws BrokerError for a URL that means something else, and a file that cannot be used, with what to do
 */
export async function connectEmbedded(url: string, context: DriverContext): Promise<BrokerDriver> {
  const options = parseEmbeddedUrl(url);
  const { platform } = context;
  try {
    const database = await whenFree(platform, busyMs, () => openForWriting(options.file, options.durability));
    const reader = new LogReader(openForReading(options.file), options.file);
    // A thread knows no virtual time.
    const isThread = (options.writer ?? (platform === systemPlatform ? "thread" : "inline")) === "thread";
    let writer: LogWriter = new InlineWriter(database, platform);
    if (isThread) {
      await writer.close();
      writer = await threadOrInline(options, context);
    }
    const pace = {
      clock: platform.clock,
      commitEveryMs: embeddedCommitEveryMs,
      heartbeatMs: options.leaseMs / heartbeatsPerLease,
      tracksCrashes: true,
    };
    const store = new EmbeddedStore(options, reader, writer, context);
    return new LogDriver("sqlite", store, pace, embeddedBodyBytesMax, context);
  } catch (error) {
    throw brokerError(options.file, error);
  }
}

/** A program that was joined into one file has no module of its own for the thread: it writes inline then. */
async function threadOrInline(options: EmbeddedUrl, { platform, observer }: DriverContext): Promise<LogWriter> {
  try {
    return await ThreadWriter.start(options.file, options.durability);
  } catch (error) {
    if (options.writer === "thread") throw error;
    observer.emit({ type: "events.embedded.written-inline" });
    return new InlineWriter(openForWriting(options.file, options.durability), platform);
  }
}
