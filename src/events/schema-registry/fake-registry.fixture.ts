import type { Clock } from "../../platform/index.ts";
import { type NewSchema, type RegisteredSchema, type Registration, type Registry, RegistryError } from "./registry.ts";

/** A registry in memory. Schemas are the same when their texts are. */
export class FakeRegistry implements Registry {
  readonly #clock: Clock;
  readonly #schemas = new Map<number, RegisteredSchema>();
  readonly subjects = new Map<string, NewSchema[]>();
  /** What was asked, in order. */
  readonly asked: string[] = [];
  /** Fails a request, after its time. */
  fails: (what: string) => RegistryError | undefined = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(id: number, schema: string, type = "PROTOBUF"): void {
    this.#schemas.set(id, { schema, type });
  }

  schemaById(id: number): Promise<RegisteredSchema> {
    return this.#answer(`schema ${id}`, () => this.#schemas.get(id) ?? unknown(`schema ${id}`));
  }

  lookup(subject: string, schema: NewSchema): Promise<Registration> {
    return this.#answer(
      `look up ${subject}`,
      () => this.#found(subject, schema) ?? unknown(`the schema of ${subject}`),
    );
  }

  register(subject: string, schema: NewSchema): Promise<Registration> {
    return this.#answer(`register ${subject}`, () => {
      const found = this.#found(subject, schema);
      if (found !== undefined) return found;
      this.subjects.set(subject, [...(this.subjects.get(subject) ?? []), schema]);
      const id = [...this.#schemas].find(([, one]) => one.schema === schema.schema)?.[0] ?? this.#schemas.size + 1;
      this.#schemas.set(id, { schema: schema.schema, type: schema.schemaType });
      return this.#found(subject, schema) as Registration;
    });
  }

  close(): void {}

  #found(subject: string, { schema }: NewSchema): Registration | undefined {
    const index = this.subjects.get(subject)?.findIndex(one => one.schema === schema) ?? -1;
    const id = [...this.#schemas].find(([, one]) => one.schema === schema)?.[0];
    return index < 0 || id === undefined ? undefined : { id, version: index + 1 };
  }

  async #answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    await new Promise<void>(resolve => this.#clock.after(5, resolve));
    const failure = this.fails(what);
    if (failure !== undefined) throw failure;
    return answer();
  }
}

function unknown(what: string): never {
  throw new RegistryError(`the schema registry does not know ${what}`, false, true);
}
