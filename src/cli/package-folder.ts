import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package: this file is two folders below it, in `src` as in `dist`. */
export const packageFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    readonly version: string;
  };
  return manifest.version;
}
