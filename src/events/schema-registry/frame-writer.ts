import { type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { EventContract } from "../../contract/index.ts";
import type { Clock } from "../../platform/index.ts";
import type { SchemaRegistryOptions } from "../broker.ts";
import { framePrefix } from "./frame.ts";
import { unknownForMs } from "./limits.ts";
import { declared } from "./message-names.ts";
import { type Registration, type Registry, RegistryError, type SchemaReference, strategyOf } from "./registry.ts";

interface Refusal {
  readonly error: RegistryError;
  readonly untilMs: number;
}

/**
 * Puts the id of its schema before each body. The schema of a contract is registered, or looked up, before its first publish:
 * the whole file as a descriptor, its imports as references, each under its own subject, as Confluent's serializers do it.
 */
export class FrameWriter {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #registers: boolean;
  readonly #subjects: NonNullable<SchemaRegistryOptions["subjects"]>;
  readonly #prefixes = new Map<EventContract, Buffer>();
  readonly #asking = new Map<EventContract, Promise<void>>();
  readonly #refusals = new Map<EventContract, Refusal>();
  /** By subject and file: contracts share files, and files share imports. */
  readonly #registrations = new Map<string, Map<DescFile, Promise<Registration>>>();

  /** @throws BrokerError */
  constructor(registry: Registry, clock: Clock, { registers = false, subjects }: SchemaRegistryOptions) {
    this.#registry = registry;
    this.#clock = clock;
    this.#registers = registers;
    this.#subjects = strategyOf(subjects);
  }

  isReady(contract: EventContract): boolean {
    return this.#prefixes.has(contract);
  }

  /** Resolves when bodies of the contract can be framed. @throws RegistryError */
  async prepare(contract: EventContract): Promise<void> {
    if (this.#prefixes.has(contract)) return;
    const refusal = this.#refusals.get(contract);
    if (refusal !== undefined && this.#clock.now() < refusal.untilMs) throw refusal.error;
    let asking = this.#asking.get(contract);
    if (asking === undefined) {
      asking = this.#ask(contract).finally(() => this.#asking.delete(contract));
      this.#asking.set(contract, asking);
    }
    await asking;
  }

  /** Needs `isReady`. */
  frame(contract: EventContract, body: Uint8Array): Uint8Array {
    return Buffer.concat([this.#prefixes.get(contract) as Buffer, body]);
  }

  async #ask(contract: EventContract): Promise<void> {
    try {
      const { desc } = contract;
      const { id } = await this.#registered(this.#subjectOf(contract), desc.file);
      this.#prefixes.set(contract, framePrefix(id, indexesOf(desc)));
      this.#refusals.delete(contract);
    } catch (error) {
      if (error instanceof RegistryError && !error.isRetryable) {
        this.#refusals.set(contract, { error, untilMs: this.#clock.now() + unknownForMs });
      }
      throw error;
    }
  }

  #subjectOf({ topic, typeName }: EventContract): string {
    switch (this.#subjects) {
      case "topic-name":
        return `${topic}-value`;
      case "record-name":
        return typeName;
      case "topic-record-name":
        return `${topic}-${typeName}`;
      default:
        return this.#subjects satisfies never;
    }
  }

  #registered(subject: string, file: DescFile): Promise<Registration> {
    const ofSubject = this.#registrations.get(subject) ?? new Map<DescFile, Promise<Registration>>();
    this.#registrations.set(subject, ofSubject);
    let registration = ofSubject.get(file);
    if (registration === undefined) {
      registration = this.#put(subject, file);
      ofSubject.set(file, registration);
      registration.catch(() => ofSubject.delete(file));
    }
    return registration;
  }

  async #put(subject: string, file: DescFile): Promise<Registration> {
    const references = await this.#references(file);
    const schema = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)).toString("base64");
    const request = { schema, schemaType: "PROTOBUF", references } as const;
    if (this.#registers) return this.#registry.register(subject, request);
    try {
      return await this.#registry.lookup(subject, request);
    } catch (error) {
      if (!(error instanceof RegistryError) || !error.isUnknown) throw error;
      throw new RegistryError(
        `${error.message} as it is in ${file.proto.name}; register the contract when it is released, or set kafka.schemaRegistry.registers`,
        false,
        true,
        { cause: error },
      );
    }
  }

  /** One after the other: so that a file's imports are there before it. */
  async #references(file: DescFile): Promise<readonly SchemaReference[]> {
    const references: SchemaReference[] = [];
    for (const imported of file.dependencies) {
      const { name } = imported.proto;
      // Every registry knows these.
      if (name.startsWith("google/protobuf/")) continue;
      const { version } = await this.#registered(name, imported);
      references.push({ name, subject: name, version });
    }
    return references;
  }
}

/** Where a message is in its file, as `messageAt` counts. */
export function indexesOf(desc: DescMessage): readonly number[] {
  const path: number[] = [];
  for (let at: DescMessage | undefined = desc; at !== undefined; at = at.parent) {
    const siblings = at.parent === undefined ? at.file.proto.messageType : at.parent.proto.nestedType;
    path.unshift(declared(siblings).indexOf(at.proto));
  }
  return path;
}
