import { outsideContext, type Platform, type Timer } from "../../platform/index.ts";
import { backoffDelayMs } from "../../resilience/index.ts";
import type { WrappedMessage } from "../record.ts";
import { plainPayload, readProtobufFrame, schemaIdOf } from "./frame.ts";
import { askAgain, schemasMax, unknownForMs } from "./limits.ts";
import { type MessageNames, messageAt, messageNames } from "./message-names.ts";
import { type Registry, RegistryError } from "./registry.ts";

type Known =
  | { readonly type: "PROTOBUF"; readonly file: MessageNames }
  | { readonly type: "JSON" }
  | { readonly type: "none"; readonly problem: string; readonly untilMs: number };

interface Asking {
  attempts: number;
  timer: Timer | undefined;
}

/**
 * Takes bodies out of their frames. The schema of an id is asked for once; whoever reads waits with the partition until it is
 * there, because it decides what the event is. An id that the registry does not know is an event that nobody knows; a
 * registry that does not answer is asked until it does.
 */
export class FrameReader {
  readonly #registry: Registry;
  readonly #platform: Platform;
  /** Oldest use first. */
  readonly #known = new Map<number, Known>();
  readonly #asking = new Map<number, Asking>();
  /** Called when a schema that somebody waits for is there. */
  readonly #wakers = new Set<() => void>();
  #failure: string | undefined;
  #isClosed = false;

  constructor(registry: Registry, platform: Platform) {
    this.#registry = registry;
    this.#platform = platform;
  }

  /** Why schemas cannot be had; `undefined` while they can. */
  get failure(): string | undefined {
    return this.#asking.size === 0 ? undefined : this.#failure;
  }

  /** @returns how to stop */
  whenLearnt(wake: () => void): () => void {
    this.#wakers.add(wake);
    return () => this.#wakers.delete(wake);
  }

  /** Whether the body can be read now; asks for its schema if it cannot. */
  isReady(bytes: Buffer, start: number, end: number): boolean {
    const id = start < 0 ? undefined : schemaIdOf(bytes, start, end);
    if (id === undefined) return true;
    const known = this.#known.get(id);
    if (known !== undefined && (known.type !== "none" || this.#platform.clock.now() < known.untilMs)) return true;
    if (!this.#asking.has(id) && !this.#isClosed) {
      this.#asking.set(id, { attempts: 0, timer: undefined });
      void outsideContext(() => this.#ask(id));
    }
    return false;
  }

  /** What is in the frame; `undefined` where there is none. Needs `isReady`. */
  unwrap(body: Uint8Array): WrappedMessage | undefined {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    const id = schemaIdOf(bytes, 0, bytes.length);
    const known = id === undefined ? undefined : this.#known.get(id);
    if (id === undefined || known === undefined) return undefined;
    this.#known.delete(id);
    this.#known.set(id, known);
    switch (known.type) {
      case "none":
        return { format: "none", problem: known.problem };
      case "JSON":
        return { format: "json", payload: plainPayload(body), typeName: undefined };
      case "PROTOBUF": {
        const frame = readProtobufFrame(body);
        const typeName = frame === undefined ? undefined : messageAt(known.file, frame.indexes);
        if (frame === undefined || typeName === undefined) {
          return { format: "none", problem: `its message is not in schema ${id} of the registry` };
        }
        return { format: "protobuf", payload: frame.payload, typeName };
      }
      default:
        return known satisfies never;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#asking.values()) timer?.cancel();
    this.#asking.clear();
  }

  async #ask(id: number): Promise<void> {
    const asking = this.#asking.get(id);
    if (asking === undefined) return;
    let known: Known;
    try {
      const { schema, type } = await this.#registry.schemaById(id);
      known = this.#understood(id, type, schema);
    } catch (error) {
      if (this.#isClosed) return;
      const { isUnknown, message } = error as RegistryError;
      if (!(error instanceof RegistryError && isUnknown)) {
        this.#failure = message;
        asking.attempts++;
        const delayMs = backoffDelayMs(askAgain, asking.attempts, 0, this.#platform.random);
        asking.timer = this.#platform.clock.after(delayMs, () => void this.#ask(id));
        return;
      }
      known = this.#none(message);
    }
    if (this.#isClosed) return;
    this.#asking.delete(id);
    this.#known.delete(id);
    this.#known.set(id, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= schemasMax) break;
      this.#known.delete(oldest);
    }
    for (const wake of [...this.#wakers]) wake();
  }

  #understood(id: number, type: string, schema: string): Known {
    if (type === "JSON") return { type };
    if (type !== "PROTOBUF")
      return this.#none(`schema ${id} of the registry is ${type.slice(0, 20)}, which is not read`);
    try {
      return { type, file: messageNames(schema) };
    } catch (error) {
      return this.#none(`schema ${id} of the registry cannot be understood: ${(error as Error).message}`);
    }
  }

  #none(problem: string): Known {
    return { type: "none", problem, untilMs: this.#platform.clock.now() + unknownForMs };
  }
}
