import assert from "node:assert/strict";
import { test } from "node:test";
import { clone, create, createFileRegistry, type DescMessage } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Ajv } from "ajv";
import { Dice, randomMessage } from "../codec/differential/index.ts";
import { randomSchema } from "../codec/differential/random-schema.ts";
import { jsonCodec } from "../codec/index.ts";
import { registryOf } from "../compile.ts";
import { eventDialect } from "../event.ts";
import { randomRuledMessage, randomRuledValue } from "../rules/random-rules.fixture.ts";
import { byProtovalidate } from "../validation.ts";
import { EventSchemas } from "./event-schemas.ts";

/** What judges JSON by the schema of a message. Formats are told, not judged: they differ from one validator to the next. */
function judgeOf(desc: DescMessage): (value: unknown) => string | undefined {
  const schemas = new EventSchemas();
  const schema = schemas.message(desc);
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true, ownProperties: true });
  const check = ajv.compile({ ...schema, components: { schemas: schemas.components } });
  return value => (check(value) ? undefined : ajv.errorsText(check.errors, { separator: "\n" }));
}

/**
 * The same contract with one of the message's fields, or some that belong together: with all of them a random message breaks
 * so many rules that nothing can be seen.
 */
function withOnly(desc: DescMessage, names: readonly string[], hasGroups: boolean): DescMessage {
  const files: (typeof desc.file.proto)[] = [];
  const collect = ({ proto, dependencies }: typeof desc.file): void => {
    for (const dependency of dependencies) collect(dependency);
    if (!files.some(({ name }) => name === proto.name)) files.push(proto);
  };
  collect(desc.file);
  const file = clone(FileDescriptorProtoSchema, desc.file.proto);
  const message = file.messageType.find(({ name }) => name === desc.name);
  assert.ok(message);
  message.field = message.field.filter(({ name }) => names.includes(name));
  const oneofs = [
    ...new Set(message.field.filter(field => isInOneof(field)).map(({ oneofIndex }) => oneofIndex)),
  ].sort();
  message.oneofDecl = oneofs.flatMap(index => message.oneofDecl[index] ?? []);
  for (const field of message.field) if (isInOneof(field)) field.oneofIndex = oneofs.indexOf(field.oneofIndex);
  if (!hasGroups) delete message.options;
  const set = create(FileDescriptorSetSchema, { file: [...files.filter(({ name }) => name !== file.name), file] });
  return createFileRegistry(set).getMessage(desc.typeName) as DescMessage;
}

function isInOneof(field: object): boolean {
  return Object.hasOwn(field, "oneofIndex");
}

/** Rules that JSON Schema has no words for: how many bytes a text has, and parts of base64. */
const unsayable =
  /^(?:string\.(?:min_bytes|max_bytes|len_bytes)|bytes\.(?:min_len|max_len|prefix|suffix|contains)|repeated\.unique)$/;

test("what publishers write is accepted where consumers take it, and refused where its rules can be said", async () => {
  let [accepted, refused, beyond] = [0, 0, 0];
  const said = new Set<string>();
  for (let seed = 1; seed <= 4; seed++) {
    const dice = new Dice(seed);
    const whole = randomRuledMessage(dice);
    const chosen = whole.fields.filter(({ name }) => name.startsWith("chosen")).map(({ name }) => name);
    // An Any of random types cannot be written.
    const alone = whole.fields.filter(({ name }) => !/^chosen|any$/.test(name)).map(({ name }) => [name]);
    const together = [
      ["one_string", "one_int32", "list_bool"],
      ["one_self", "one_string"],
      ["list_self", "one_int64"],
    ];
    for (const names of [chosen, ...together, ...alone]) {
      const desc = withOnly(whole, names, names === together[0]);
      const judge = judgeOf(desc);
      const rules = await byProtovalidate(desc);
      const codec = jsonCodec(desc, {
        dialect: eventDialect,
        unknownFields: "ignore",
        registry: registryOf(desc.file),
      });
      for (let round = 0; round < 8; round++) {
        const text = codec.encode(randomRuledValue(dice, desc));
        const violations = rules(codec.decode(text));
        const problem = judge(JSON.parse(text));
        const where = `seed ${seed}, ${names.join(" ")}, round ${round}: ${text}`;
        if (violations.length === 0) {
          assert.equal(problem, undefined, where);
          accepted++;
          continue;
        }
        const sayable = violations.filter(({ rule }) => !unsayable.test(rule));
        if (problem === undefined && sayable.length > 0) {
          assert.fail(`not refused: ${sayable.map(({ rule }) => rule).join(", ")}: ${where}`);
        }
        if (problem === undefined) beyond++;
        else refused++;
        for (const { rule } of sayable) said.add(rule);
      }
    }
  }
  assert.ok(accepted > 1_000 && refused > 500, `${accepted} accepted, ${refused} refused`);
  assert.ok(beyond < refused / 50, `${beyond} break only rules that cannot be said`);
  assert.ok(said.size > 100, `only ${said.size} rules were broken`);
});

test("messages of every type are accepted as they are written, well-known types and messages in themselves included", () => {
  let accepted = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const dice = new Dice(seed);
    const { root, registry } = randomSchema(dice);
    const judge = judgeOf(root);
    const codec = jsonCodec(root, { dialect: eventDialect, unknownFields: "ignore", registry });
    for (let round = 0; round < 10; round++) {
      let text: string;
      try {
        text = codec.encode(randomMessage(dice, root));
      } catch {
        continue; // a Timestamp of the year 20000, an Any of a type that nobody knows
      }
      assert.equal(judge(JSON.parse(text)), undefined, `seed ${seed}, round ${round}: ${text}`);
      accepted++;
    }
  }
  assert.ok(accepted > 200, `only ${accepted} could be written`);
});
