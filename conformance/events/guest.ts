import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Children } from "../grpc/children.ts";
import { guideProgram, pythonEnvironment } from "./python.ts";

/** An event as a guest's program prints it. */
export interface SeenEvent {
  readonly routing_key?: string;
  readonly content_type?: string;
  readonly delivery_mode?: number;
  readonly message_id?: string;
  readonly key?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A consumer of the guide that runs beside the shop. */
export class Guest {
  readonly seen: SeenEvent[] = [];
  readonly #child: ChildProcess;
  readonly #ready: Promise<unknown>;
  #errors = "";

  constructor(children: Children, program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = children.start("python3", [guideProgram(program), ...args], { ...pythonEnvironment, ...env });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#ready = promise;
    promise.catch(() => {});
    const lines = createInterface({ input: this.#child.stdout as NonNullable<ChildProcess["stdout"]> });
    lines.on("line", line => {
      const value = JSON.parse(line) as SeenEvent | { readonly ready: unknown };
      if ("ready" in value) resolve(value.ready);
      else this.seen.push(value);
    });
    this.#child.once("close", code => reject(new Error(`${program} ended with ${code}: ${this.#errors.slice(-800)}`)));
  }

  /** Resolves when it consumes. */
  ready(): Promise<unknown> {
    return this.#ready;
  }

  /** What it saw of new orders, by id. */
  get createdIds(): readonly string[] {
    return this.seen
      .filter(({ body }) => body["event_type"] === "ORDER_CREATED")
      .map(({ body }) => String(body["order_id"]));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGINT");
    await once(this.#child, "close");
  }
}
