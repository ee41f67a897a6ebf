import { fileBytesMax, filePollMs } from "../limits.ts";
import type { Resolution, Source } from "../refreshing-resolver.ts";
import type { ResolvedEndpoint } from "../resolver.ts";
import { parseEndpoints } from "./endpoints-document.ts";
import type { Files } from "./files.ts";

/**
 * The endpoints in a JSON file, which is looked at every second: notifications of file systems do not come from network
 * drives and get lost when a mounted ConfigMap is swapped. A file that does not parse, half written perhaps, changes
 * nothing.
 */
export class FileSource implements Source {
  readonly retryMaxMs = filePollMs;
  readonly #path: string;
  readonly #files: Files;
  #version: string | undefined;
  #endpoints: readonly ResolvedEndpoint[] = [];

  constructor(path: string, files: Files) {
    this.#path = path;
    this.#files = files;
  }

  async resolve(): Promise<Resolution> {
    const version = await this.#files.version(this.#path);
    if (version !== this.#version) {
      const text = await this.#files.read(this.#path, fileBytesMax);
      try {
        this.#endpoints = parseEndpoints(text);
      } catch (cause) {
        this.#version = undefined;
        throw new Error(`${this.#path}: ${(cause as Error).message}`, { cause });
      }
      // Written to in the meantime: what was read is complete, but is read again.
      this.#version = (await this.#files.version(this.#path)) === version ? version : undefined;
    }
    return { endpoints: this.#endpoints, ttlMs: filePollMs };
  }

  close(): void {}
}
