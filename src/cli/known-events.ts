import type { DescFile } from "@bufbuild/protobuf";
import type { EventContract, JsonCodec, Validate } from "../contract/index.ts";
import type { EventCatalog } from "../events/runtime/catalog.ts";
import { CommandError, type CommandInput, type OptionRule, type Terminal } from "./command.ts";

/** The option of commands that can say more of an event when they know its contract. */
export const contractOption = {
  contract: {
    short: "c",
    value: "source",
    isMultiple: true,
    help: "A contract: a folder of .proto files, a descriptor set, a module of generated code, or the http:// address of a server.",
  },
} as const satisfies Readonly<Record<string, OptionRule>>;

/** As much of a record or a dead letter as its contract is found by. */
export interface Readable {
  readonly topic: string;
  readonly attributes: Readonly<Partial<import("../events/index.ts").EventAttributes>>;
  readonly body: Uint8Array;
}

/** What a contract says of an event. */
export interface Judged {
  readonly contract: string | undefined;
  /** The message as JSON; `undefined` when it is none of its contract. */
  readonly json: string | undefined;
  /** Why a handler would not get it. */
  readonly problem: string | undefined;
}

interface Reading {
  readonly catalog: EventCatalog;
  readonly codec: typeof import("../events/runtime/read-record.ts");
  readonly validation: typeof import("../contract/index.ts").validation;
  readonly strictJson: (contract: EventContract) => JsonCodec;
}

/** The events of the contracts that a command was given. */
export class KnownEvents {
  /** What the contracts came from, for messages. */
  readonly sources: readonly string[];
  readonly files: readonly DescFile[];
  readonly #reading: Reading;
  readonly #checks = new Map<EventContract, Validate | undefined>();

  private constructor(sources: readonly string[], files: readonly DescFile[], reading: Reading) {
    this.sources = sources;
    this.files = files;
    this.#reading = reading;
  }

  /**
   * `undefined` when the command line names no contract.
   * @throws CommandError for one that cannot be read, or that has no event
   */
  static async of(input: CommandInput, terminal: Terminal): Promise<KnownEvents | undefined> {
    const sources = input.all("contract");
    if (sources.length === 0) return undefined;
    const [{ loadFiles }, { EventCatalog }, codec, { strictEventJson, validation, ContractError }] = await Promise.all([
      import("./contract-source.ts"),
      import("../events/runtime/catalog.ts"),
      import("../events/runtime/read-record.ts"),
      import("../contract/index.ts"),
    ]);
    const files: DescFile[] = [];
    for (const source of sources) files.push(...(await loadFiles(source, terminal)));
    const catalog = new EventCatalog();
    try {
      for (const file of files) catalog.learn(file);
    } catch (cause) {
      if (!(cause instanceof ContractError)) throw cause;
      throw new CommandError(cause.message, { cause });
    }
    const known = new KnownEvents(sources, files, { catalog, codec, validation, strictJson: strictEventJson });
    if (known.all().length > 0) return known;
    throw new CommandError(
      `there is no event in ${sources.join(", ")}; events are messages with option (trunkline.v1.event), and a server's reflection shows only files that its services import`,
    );
  }

  all(): readonly EventContract[] {
    return [...this.#reading.catalog.events()];
  }

  topics(): readonly string[] {
    return [...new Set(this.all().map(({ topic }) => topic))];
  }

  /** The event of a type. @throws CommandError when there is none, or one on each of several topics */
  named(type: string, topic: string | undefined): EventContract {
    const ofType = this.all().filter(event => event.type === type && (topic === undefined || event.topic === topic));
    const [event, another] = ofType;
    if (event === undefined) {
      const types = this.all().map(one => `${one.type} (${one.topic})`);
      const where = topic === undefined ? "" : ` on ${topic}`;
      throw new CommandError(`no contract has an event of type ${type}${where}; they have ${types.join(", ")}`);
    }
    if (another !== undefined) {
      throw new CommandError(`${type} is on ${ofType.map(one => one.topic).join(" and ")}; choose with --topic`);
    }
    return event;
  }

  /**
   * The message of a JSON text that a person or a program has written: a member that the contract does not have is a mistake.
   * @throws CommandError that says where it breaks the contract
   */
  async fromJson(event: EventContract, text: string): Promise<object> {
    let message: object;
    try {
      message = this.#reading.strictJson(event).decode(text);
    } catch (cause) {
      const path = (cause as { readonly path?: unknown }).path;
      const field = typeof path === "string" && path !== "" ? `${path}: ` : "";
      throw new CommandError(`the body is no ${event.typeName}: ${field}${(cause as Error).message}`, { cause });
    }
    const { judgeEvent, Unreadable } = this.#reading.codec;
    try {
      const check = await this.#check(event);
      if (check !== undefined) judgeEvent(message, event, check);
    } catch (cause) {
      if (!(cause instanceof Unreadable)) throw cause;
      throw new CommandError(`the body breaks the rules of ${cause.message}`, { cause });
    }
    return message;
  }

  /** Reads an event as a consumer would. */
  async judge(record: Readable): Promise<Judged> {
    const { catalog, codec } = this.#reading;
    const event = codec.contractOf(record, catalog.topic(record.topic));
    if (event === undefined) {
      return { contract: undefined, json: undefined, problem: `no contract knows it: ${codec.typeText(record)}` };
    }
    const contract = event.typeName;
    let json: string | undefined;
    try {
      const message = codec.readEvent(record, event);
      json = event.json.encode(message as never);
      const check = await this.#check(event);
      if (check !== undefined) codec.judgeEvent(message, event, check);
      return { contract, json, problem: undefined };
    } catch (cause) {
      if (!(cause instanceof codec.Unreadable)) throw cause;
      return { contract, json, problem: cause.message };
    }
  }

  async #check(event: EventContract): Promise<Validate | undefined> {
    if (!this.#checks.has(event)) this.#checks.set(event, await this.#reading.validation(event.desc));
    return this.#checks.get(event);
  }
}
