import { watch } from "node:fs";
import type { FileWatch } from "../platform.ts";

/** {@link Platform.watchFile} by Node's `fs.watch`: inotify, kqueue or ReadDirectoryChangesW. Keeps nothing alive. */
export function watchFile(path: string, changed: () => void): FileWatch | undefined {
  try {
    const watcher = watch(path, { persistent: false }, changed);
    // It is over then, and whoever watches looks by himself.
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    // The system has no such thing, not for this file, or no more of them.
    return undefined;
  }
}
