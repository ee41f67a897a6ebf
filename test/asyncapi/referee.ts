import assert from "node:assert/strict";
import specs from "@asyncapi/specs";
import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { AsyncApiDocument } from "../../src/events/asyncapi/asyncapi.ts";

let official: ValidateFunction | undefined;

/** What the schema of AsyncAPI 3.0.0 itself finds wrong with a document. */
export function problemsOf(document: unknown): string | undefined {
  if (official === undefined) {
    const ajv = new Ajv({ strict: false, allErrors: true });
    // Its export for CommonJS, seen from a module.
    (addFormats as unknown as (ajv: Ajv) => void)(ajv);
    for (const format of ["uint32", "uint64"]) ajv.addFormat(format, true);
    official = ajv.compile(specs.schemasWithoutId["3.0.0"] as object);
  }
  if (official(document)) return undefined;
  return official.errors?.map(({ instancePath, message }) => `${instancePath} ${message}`).join("\n");
}

/** Everything that has to be true of any document: official schema, references, examples. */
export function assertSound(document: AsyncApiDocument): void {
  assert.equal(problemsOf(document), undefined);
  for (const reference of referencesIn(document)) assert.notEqual(resolved(document, reference), undefined, reference);
  for (const [id, operation] of Object.entries(document.operations)) {
    assert.ok(operation.messages.length > 0, id);
    for (const { $ref } of operation.messages) assert.ok($ref.startsWith(`${operation.channel.$ref}/messages/`), id);
    const { reply } = operation;
    for (const { $ref } of reply?.messages ?? []) assert.ok($ref.startsWith(`${reply?.channel.$ref}/messages/`), id);
  }
  for (const [name, message] of Object.entries(document.components.messages)) {
    const judges = { payload: judgeOf(document, message.payload ?? {}), headers: judgeOf(document, message.headers) };
    for (const { headers, payload } of message.examples ?? []) {
      assert.equal(judges.payload(payload), undefined, `${name}: ${JSON.stringify(payload)}`);
      if (headers !== undefined)
        assert.equal(judges.headers(headers), undefined, `${name}: ${JSON.stringify(headers)}`);
    }
  }
}

/** Judges values by a schema of the document. Formats are told, not judged. */
export function judgeOf(document: AsyncApiDocument, schema: object): (value: unknown) => string | undefined {
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true, ownProperties: true });
  const check = ajv.compile({ ...schema, components: document.components });
  return value => (check(value) ? undefined : ajv.errorsText(check.errors));
}

function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (name === "$ref" && typeof inner === "string") yield inner;
    else yield* referencesIn(inner);
  }
}

/** What a pointer in a URI's fragment points to (RFC 6901, sections 4 and 6). */
export function resolved(document: unknown, reference: string): unknown {
  assert.ok(reference.startsWith("#/"), reference);
  let found = document;
  for (const step of decodeURIComponent(reference.slice(2)).split("/")) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}
