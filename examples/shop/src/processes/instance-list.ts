import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ServiceName } from "./services.ts";
import { stateFolder } from "./state.ts";

/** An instance that takes calls. */
export interface Instance {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
}

/** The instances of a service that are ready, as a file that `file:///` targets follow. */
export class InstanceList {
  readonly #path: string;
  readonly #instances = new Map<number, Instance>();

  constructor(name: ServiceName, offset: number) {
    this.#path = join(stateFolder(offset), `${name}.instances.json`);
  }

  /** What a client gives as its target. */
  get target(): string {
    return pathToFileURL(this.#path).href;
  }

  /** The first one replaces what a shop that has ended left there. */
  add(instance: Instance): void {
    this.#instances.set(instance.port, instance);
    this.#write();
  }

  remove(port: number): void {
    if (this.#instances.delete(port)) this.#write();
  }

  /** Readers see the list of before or the new one, never a part. */
  #write(): void {
    const endpoints = Array.from(this.#instances.values(), ({ host, port, pid }) => ({
      address: reachableAt(host),
      port,
      // A process that was started again is another instance: what was learnt of the one before says nothing of it.
      metadata: { uid: String(pid) },
    }));
    mkdirSync(dirname(this.#path), { recursive: true });
    const draft = `${this.#path}.${process.pid}`;
    writeFileSync(draft, `${JSON.stringify({ endpoints }, undefined, 2)}\n`);
    renameSync(draft, this.#path);
  }
}

/** Where a server that listens on all addresses can be called. */
function reachableAt(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
