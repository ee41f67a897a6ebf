import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  create,
  createFileRegistry,
  createRegistry,
  type DescMessage,
  fromBinary,
  fromJsonString,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import {
  AnySchema,
  anyPack,
  BytesValueSchema,
  DurationSchema,
  FieldMaskSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  StructSchema,
  TimestampSchema,
  ValueSchema,
} from "@bufbuild/protobuf/wkt";
import { ByteWriter } from "../../platform/index.ts";
import { BinaryCodecs } from "./binary/index.ts";
import type { Backend } from "./code-generation.ts";
import { compareWithReferee, type Tally } from "./differential/index.ts";
import { binaryCodec, CodecError, jsonCodec } from "./index.ts";
import { type JsonCodecOptions, JsonCodecs } from "./json/index.ts";
import { orderInit, orderSchema } from "./order.fixture.ts";

const backends: readonly Backend[] = ["generated", "closures"];
const shopDialect = { fieldNames: "proto", enumValues: "short", emitDefaultValues: true } as const;

function encode(backend: Backend, schema: DescMessage, message: object): Buffer {
  const writer = new ByteWriter(8);
  new BinaryCodecs(backend).get(schema).encode(message, writer);
  return writer.copyFrom(0);
}

function decode(backend: Backend, schema: DescMessage, bytes: Uint8Array): unknown {
  return new BinaryCodecs(backend).get(schema).decode(bytes, 0, bytes.length);
}

function json(backend: Backend, schema: DescMessage = orderSchema, options: JsonCodecOptions = {}) {
  return new JsonCodecs(backend).get(schema, options);
}

function refuses(run: () => unknown, rule: string, path?: string): void {
  assert.throws(run, (failure: unknown) => {
    assert.ok(failure instanceof CodecError, String(failure));
    assert.equal(failure.rule, rule);
    if (path !== undefined) assert.equal(failure.path, path);
    return true;
  });
}

/** A schema of one message with the given field, in any syntax. */
function oneField(field: object, syntax = "proto3", extra: object = {}): DescMessage {
  const message = {
    name: "Only",
    field: [{ number: 1, label: 1, name: "only", jsonName: "only", ...field }],
    ...extra,
  };
  const file = create(FileDescriptorProtoSchema, { name: "only.proto", syntax, messageType: [message] } as never);
  const schema = createFileRegistry(file, () => undefined).getMessage("Only");
  assert.ok(schema);
  return schema;
}

for (const backend of backends) {
  test(`an order has the referee's bytes, from a message and from an initialiser (${backend})`, () => {
    const expected = toBinary(orderSchema, create(orderSchema, orderInit as never));
    assert.equal(expected.length, 94);
    assert.deepEqual(new Uint8Array(encode(backend, orderSchema, create(orderSchema, orderInit as never))), expected);
    assert.deepEqual(new Uint8Array(encode(backend, orderSchema, orderInit)), expected);
    assert.deepEqual(decode(backend, orderSchema, expected), fromBinary(orderSchema, expected));
  });

  test(`what an initialiser leaves out, or has as null, has its default (${backend})`, () => {
    assert.equal(encode(backend, orderSchema, {}).length, 0);
    assert.equal(encode(backend, orderSchema, { id: null, items: null }).length, 0);
    assert.equal(json(backend).encode({}), "{}");
  });

  test(`a failed encoding leaves the writer where it was and names the field (${backend})`, () => {
    const writer = new ByteWriter(4);
    writer.append(Buffer.from("abc"));
    const codec = new BinaryCodecs(backend).get(orderSchema);
    const broken = { id: "x".repeat(50), items: [{}, { quantity: 2 ** 40 }] };
    refuses(() => codec.encode(broken, writer), "int32.range", "items[1].quantity");
    assert.equal(writer.copyFrom(0).toString(), "abc");
    refuses(() => json(backend).encode({ items: [{ quantity: 1.5 }] }), "integer.type", "items[0].quantity");
  });

  test(`a message of another type is refused (${backend})`, () => {
    refuses(() => encode(backend, orderSchema, create(TimestampSchema)), "message.type");
    refuses(() => json(backend).encode(create(TimestampSchema)), "message.type");
  });

  test(`nothing of a decoded message refers to the chunk it came in (${backend})`, () => {
    const schema = oneField({ type: 12 });
    const chunk = Buffer.from([0x0a, 3, 1, 2, 3, 0x12, 1, 9]);
    const message = decode(backend, schema, chunk) as { only: Uint8Array; $unknown: { data: Uint8Array }[] };
    chunk.fill(0xee);
    assert.deepEqual(message.only, Uint8Array.of(1, 2, 3));
    assert.deepEqual(message.$unknown[0]?.data, Uint8Array.of(1, 9));
    assert.equal(message.only.buffer.byteLength, 3);
  });

  test(`a length of 4 GiB is refused before memory is set aside (${backend})`, () => {
    for (const number of [1, 2, 3, 99]) {
      const tag = number === 99 ? [0x9a, 0x06] : [(number << 3) | 2];
      const bytes = Uint8Array.from([...tag, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2]);
      refuses(() => decode(backend, orderSchema, bytes), "binary.truncated");
    }
  });

  test(`every prefix of a message is decoded or refused as the referee does it (${backend})`, () => {
    const bytes = toBinary(orderSchema, create(orderSchema, orderInit as never));
    for (let end = 0; end < bytes.length; end++) {
      let expected: unknown;
      try {
        expected = fromBinary(orderSchema, bytes.slice(0, end));
      } catch {
        // The bytes behind the end are there, but they are not the message's.
        const codec = new BinaryCodecs(backend).get(orderSchema);
        refuses(() => codec.decode(bytes, 0, end), "binary.truncated");
        continue;
      }
      assert.deepEqual(new BinaryCodecs(backend).get(orderSchema).decode(bytes, 0, end), expected);
    }
  });

  test(`invalid UTF-8 is refused in proto3 with the field's path, and replaced in proto2 (${backend})`, () => {
    const item = [0x0a, 2, 0xc3, 0x28];
    const bytes = Uint8Array.from([0x1a, item.length, ...item]);
    refuses(() => decode(backend, orderSchema, bytes), "string.utf8");
    const proto2 = oneField({ type: 9 }, "proto2");
    assert.deepEqual((decode(backend, proto2, Uint8Array.from(item)) as { only: string }).only, "\ufffd(");
  });

  test(`messages nested deeper than 100 are refused in both formats (${backend})`, () => {
    const schema = oneField({ type: 11, typeName: ".Only" });
    const nest = (depth: number): Uint8Array => {
      let bytes: number[] = [];
      for (let level = 1; level < depth; level++) {
        const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
        bytes = [0x0a, ...length, ...bytes];
      }
      return Uint8Array.from(bytes);
    };
    assert.deepEqual(decode(backend, schema, nest(100)), fromBinary(schema, nest(100)));
    refuses(() => decode(backend, schema, nest(101)), "binary.depth");
    const text = (depth: number): string => `${'{"only":'.repeat(depth - 1)}{}${"}".repeat(depth - 1)}`;
    assert.deepEqual(json(backend, schema).decode(text(100)), fromJsonString(schema, text(100)));
    refuses(() => json(backend, schema).decode(text(101)), "json.depth");
    refuses(() => json(backend, schema).decode("[".repeat(100_000) + "]".repeat(100_000)), "message.type");
  });

  test(`nested groups of unknown fields count against the depth (${backend})`, () => {
    const groups = (depth: number): Uint8Array =>
      Uint8Array.from([...Array(depth).fill(0x4b), ...Array(depth).fill(0x4c)]);
    assert.deepEqual(decode(backend, orderSchema, groups(99)), fromBinary(orderSchema, groups(99)));
    refuses(() => decode(backend, orderSchema, groups(100)), "binary.depth");
  });

  test(`a required field that is not set is refused by name (${backend})`, () => {
    const schema = oneField({ type: 5, label: 2 }, "proto2");
    refuses(() => encode(backend, schema, create(schema)), "field.required", "only");
    refuses(() => json(backend, schema).encode(create(schema)), "field.required", "only");
  });

  test(`the shop's dialect: proto names, short enums, zero values, absent messages (${backend})`, () => {
    const codec = json(backend, orderSchema, { dialect: shopDialect });
    assert.deepEqual(JSON.parse(codec.encode(orderInit)), {
      id: "order-0000123",
      customer_id: "customer-456",
      items: [
        { product_id: "product-000001", quantity: 2, price: 19.99 },
        { product_id: "product-0002", quantity: 1, price: 5.49 },
      ],
      status: "pending",
      created_at: "1700000000000",
    });
    assert.equal(codec.encode({}), '{"id":"","customer_id":"","items":[],"status":"unspecified","created_at":"0"}');
    refuses(() => codec.decode('{"items":[{},{"product_id":7}]}'), "string.type", "items[1].product_id");
  });

  test(`fields with explicit presence are absent from JSON until they are set, also with default values (${backend})`, () => {
    const options = { dialect: shopDialect };
    const schema = oneField({ type: 5, proto3Optional: true, oneofIndex: 0 }, "proto3", {
      oneofDecl: [{ name: "_only" }],
    });
    assert.equal(json(backend, schema, options).encode({}), "{}");
    assert.equal(json(backend, schema, options).encode({ only: 0 }), '{"only":0}');
  });

  test(`every spelling of fields and enum values is read in every dialect (${backend})`, () => {
    for (const dialect of [undefined, shopDialect]) {
      const codec = json(backend, orderSchema, { dialect });
      for (const status of ['"ORDER_STATUS_SHIPPED"', '"shipped"', "2"]) {
        for (const name of ["createdAt", "created_at"]) {
          assert.deepEqual(
            codec.decode(`{"${name}":"5","status":${status}}`),
            create(orderSchema, { createdAt: 5n, status: 2 } as never),
          );
        }
      }
    }
  });

  test(`hostile JSON is refused with a rule and a path (${backend})`, () => {
    const codec = json(backend);
    const cases: [text: string, rule: string, path: string][] = [
      ["{", "json.syntax", ""],
      ['{"id":"a","id":"b"}', "json.duplicate_field", ""],
      ['{"customerId":"a","customer_id":"b"}', "json.duplicate_field", "customerId"],
      ['{"items":[{"price":1},{"price":1e400}]}', "double.finite", "items[1].price"],
      ['{"items":[{"quantity":2147483648}]}', "int32.range", "items[0].quantity"],
      ['{"items":[null]}', "list.null", "items[0]"],
      ['{"items":{}}', "list.type", "items"],
      ['{"createdAt":"9223372036854775808"}', "int64.range", "createdAt"],
      ['{"createdAt":1.5}', "int64.type", "createdAt"],
      ['{"status":"nope"}', "enum.value", "status"],
      ['{"id":"\\ud800"}', "string.utf8", "id"],
      ['{"nope":1}', "json.unknown_field", "nope"],
      ['{"__proto__":{"id":"x"}}', "json.unknown_field", "__proto__"],
      ['{"constructor":1}', "json.unknown_field", "constructor"],
      ["null", "message.type", ""],
      ["[]", "message.type", ""],
    ];
    for (const [text, rule, path] of cases) refuses(() => codec.decode(text), rule, path);
  });

  test(`unknown members are ignored on request, duplicates among them are not (${backend})`, () => {
    const codec = json(backend, orderSchema, { unknownFields: "ignore" });
    const text = '{"id":"a","x":{"__proto__":{"polluted":1},"y":[{"z":":{\\""}]},"status":"nope"}';
    assert.deepEqual(codec.decode(text), create(orderSchema, { id: "a" } as never));
    assert.equal(Reflect.get({}, "polluted"), undefined);
    refuses(() => codec.decode('{"x":{"y":1,"y":2}}'), "json.duplicate_field");
    refuses(() => codec.decode('{"x":{"y":1,"\\u0079":2}}'), "json.duplicate_field");
  });

  test(`a polluted prototype adds no fields (${backend})`, () => {
    Object.defineProperty(Object.prototype, "status", {
      value: 2,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    try {
      assert.equal((json(backend).decode('{"id":"a"}') as unknown as { status: number }).status, 0);
    } finally {
      Reflect.deleteProperty(Object.prototype, "status");
    }
  });

  test(`maps with the key __proto__ neither lose it nor change a prototype (${backend})`, () => {
    const entry = { name: "OnlyEntry", options: { mapEntry: true } };
    const key = { name: "key", number: 1, type: 9, label: 1, jsonName: "key" };
    const schema = oneField({ type: 11, label: 3, typeName: ".Only.OnlyEntry" }, "proto3", {
      nestedType: [{ ...entry, field: [key, { ...key, name: "value", number: 2, type: 5, jsonName: "value" }] }],
    });
    const text = '{"only":{"__proto__":1,"constructor":2}}';
    const message = json(backend, schema).decode(text) as unknown as { only: object };
    assert.deepEqual(Object.keys(message.only), ["__proto__", "constructor"]);
    assert.equal(Object.getPrototypeOf(message.only), Object.prototype);
    const again = decode(backend, schema, encode(backend, schema, message));
    assert.equal(json(backend, schema).encode(again as object), text);
    refuses(() => encode(backend, schema, { only: { "a.b": 1.5 } }), "int32.range", 'only["a.b"]');
  });

  test(`a message field named has_own_property is not taken for what every object inherits (${backend})`, () => {
    const name = { name: "has_own_property", jsonName: "hasOwnProperty" };
    const schema = oneField({ ...name, type: 11, typeName: ".Only" });
    assert.equal(encode(backend, schema, {}).length, 0);
    assert.equal(json(backend, schema).encode({}), "{}");
    const message = decode(backend, schema, Uint8Array.of(0x0a, 0)) as Record<string, unknown>;
    assert.deepEqual(message["hasOwnProperty"], { $typeName: "Only" });
    assert.equal(Object.hasOwn(Object.prototype.hasOwnProperty, "$typeName"), false);
    assert.equal(json(backend, schema).encode(message), '{"hasOwnProperty":{}}');
  });

  test(`an unknown value of a closed enum is kept beside other unknown fields (${backend})`, () => {
    const enumType = [{ name: "Closed", value: [{ name: "ZERO", number: 0 }] }];
    const schema = oneField({ type: 14, typeName: ".Only.Closed" }, "proto2", { enumType });
    const bytes = Buffer.from([0x10, 7, 0x08, 99, 0x18, 7]);
    const message = decode(backend, schema, bytes) as object;
    assert.equal("only" in message && Object.hasOwn(message, "only"), false);
    assert.deepEqual(encode(backend, schema, message), bytes);
  });

  test(`no name of a descriptor becomes code (${backend})`, () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the name is an attempt to break out of generated code
    for (const name of ['"]};throw 1;//', "__proto__", "a`${b}", "\u2028"]) {
      const schema = oneField({ type: 5 });
      const field = Object.assign(Object.create(Object.getPrototypeOf(schema.fields[0]) as object), schema.fields[0], {
        localName: name,
        name,
        jsonName: name,
      });
      const hostile = {
        ...schema,
        fields: [field],
        members: [field],
        oneofs: [],
        typeName: `Evil${name}`,
      } as DescMessage;
      const value = json(backend, hostile).decodeValue(JSON.parse(`{${JSON.stringify(name)}:7}`));
      assert.equal(Object.getOwnPropertyDescriptor(value, name)?.value, 7);
      assert.equal(json(backend, hostile).encode(value), `{${JSON.stringify(name)}:7}`);
      assert.deepEqual([...encode(backend, hostile, value)], [8, 7]);
      assert.equal(Object.getOwnPropertyDescriptor(decode(backend, hostile, Uint8Array.of(8, 7)), name)?.value, 7);
    }
  });

  test(`well-known types have their own JSON (${backend})`, () => {
    const registry = createRegistry(TimestampSchema, DurationSchema, orderSchema);
    const cases: [DescMessage, string][] = [
      [TimestampSchema, '"0001-01-01T00:00:00Z"'],
      [TimestampSchema, '"1969-12-31T23:59:59.500Z"'],
      [TimestampSchema, '"2024-02-29T12:34:56.000000001Z"'],
      [TimestampSchema, '"9999-12-31T23:59:59.999999Z"'],
      [DurationSchema, '"-0.500s"'],
      [DurationSchema, '"315576000000s"'],
      [FieldMaskSchema, '"a,fooBar.baz"'],
      [StructSchema, '{"a":[1,null,{"b":"c"}]}'],
      [ValueSchema, "null"],
      [AnySchema, "{}"],
      [AnySchema, '{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}'],
      [AnySchema, '{"@type":"type.googleapis.com/guide.Order","id":"a"}'],
    ];
    for (const [schema, text] of cases) {
      const codec = json(backend, schema, { registry });
      assert.equal(codec.encode(codec.decode(text)), text);
      assert.deepEqual(codec.decode(text), fromJsonString(schema, text, { registry }));
    }
    const offset = json(backend, TimestampSchema).decode('"2024-01-01T00:00:00+02:00"');
    assert.equal(json(backend, TimestampSchema).encode(offset), '"2023-12-31T22:00:00Z"');
    const unknown = anyPack(StructSchema, create(StructSchema));
    refuses(() => json(backend, AnySchema).encode(unknown), "any.type");
  });

  test(`every length of text, ASCII or not, comes back (${backend})`, () => {
    for (let length = 0; length < 300; length += length < 40 ? 1 : 43) {
      for (const text of ["x".repeat(length), `${"x".repeat(length)}é€😀`, `\ufeff${"é".repeat(length)}`]) {
        const bytes = encode(backend, orderSchema, { id: text });
        assert.deepEqual(new Uint8Array(bytes), toBinary(orderSchema, create(orderSchema, { id: text } as never)));
        assert.equal((decode(backend, orderSchema, bytes) as { id: string }).id, text);
      }
    }
  });

  test(`a large schema of many types works: descriptor.proto about itself (${backend})`, () => {
    const set = create(FileDescriptorSetSchema, { file: [FileDescriptorSetSchema.file.proto] });
    const bytes = toBinary(FileDescriptorSetSchema, set);
    assert.deepEqual(new Uint8Array(encode(backend, FileDescriptorSetSchema, set)), bytes);
    assert.deepEqual(decode(backend, FileDescriptorSetSchema, bytes), fromBinary(FileDescriptorSetSchema, bytes));
    const text = json(backend, FileDescriptorSetSchema).encode(set);
    assert.deepEqual(JSON.parse(text), JSON.parse(toJsonString(FileDescriptorSetSchema, set)));
    assert.deepEqual(
      json(backend, FileDescriptorSetSchema).decode(text),
      fromJsonString(FileDescriptorSetSchema, text),
    );
  });
}

test("codecs are memoised: one per schema and equal options", () => {
  assert.equal(binaryCodec(orderSchema), binaryCodec(orderSchema));
  assert.equal(jsonCodec(orderSchema), jsonCodec(orderSchema, { unknownFields: "reject" }));
  assert.equal(
    jsonCodec(orderSchema, { dialect: shopDialect }),
    jsonCodec(orderSchema, { dialect: { ...shopDialect } }),
  );
  assert.notEqual(jsonCodec(orderSchema), jsonCodec(orderSchema, { dialect: shopDialect }));
});

test("a range outside the bytes is the caller's mistake", () => {
  assert.throws(() => binaryCodec(orderSchema).decode(new Uint8Array(3), 1, 4), RangeError);
});

test("the codecs work where code generation from strings is forbidden", () => {
  const url = (name: string): string => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const script = `
    import { binaryCodec, jsonCodec } from ${url("./index.ts")};
    import { defaultBackend } from ${url("./code-generation.ts")};
    import { orderInit, orderSchema } from ${url("./order.fixture.ts")};
    import { ByteWriter } from ${url("../../platform/index.ts")};
    const writer = new ByteWriter(8);
    binaryCodec(orderSchema).encode(orderInit, writer);
    const message = binaryCodec(orderSchema).decode(writer.bytes, 0, writer.position);
    const text = jsonCodec(orderSchema).encode(message);
    jsonCodec(orderSchema).decode(text);
    process.stdout.write(defaultBackend() + " " + writer.position + " " + text);
  `;
  const flags = ["--disallow-code-generation-from-strings", "--input-type=module", "--eval", script];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: "utf8" });
  assert.equal(stdout, `closures 94 ${jsonCodec(orderSchema).encode(orderInit)}`, stderr);
});

test("random schemas, messages and mutations have the referee's outcome", t => {
  const seed = Number(process.env["TRUNKLINE_SEED"] ?? Math.floor(Math.random() * 1e9));
  t.diagnostic(`seed ${seed}`);
  const tally: Tally = { passed: 0, failures: [] };
  for (let index = 0; index < 60; index++) compareWithReferee(seed + index, backends, 4, tally);
  assert.equal(tally.failures.length, 0, tally.failures.slice(0, 3).join("\n"));
  assert.equal(tally.passed, 60 * backends.length * 4 * 2);
});

test("of memory that nobody writes to again, large fields are views and small ones copies; otherwise all are copies", () => {
  const codec = binaryCodec(BytesValueSchema);
  const encode = (bytes: number): Buffer =>
    Buffer.from(toBinary(BytesValueSchema, create(BytesValueSchema, { value: Buffer.alloc(bytes, 7) })));
  for (const [bytes, isShared, isView] of [
    [100_000, true, true],
    [100, true, false],
    [100_000, false, false],
  ] as const) {
    const memory = encode(bytes);
    const { value } = codec.decode(memory, 0, memory.length, isShared);
    assert.equal(value.buffer === memory.buffer, isView);
    assert.equal(Object.getPrototypeOf(value), Uint8Array.prototype);
    assert.deepEqual(value, new Uint8Array(bytes).fill(7));
  }
});
