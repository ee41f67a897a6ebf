import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter } from "../../../platform/index.ts";
import { constantField, HeaderField } from "../../exchange.ts";
import { HpackDecoder, HpackError } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { FieldKind, fieldKind } from "./field-kind.ts";
import { huffmanDecode, huffmanEncode, huffmanLength } from "./huffman.ts";

class Collected {
  readonly fields: HeaderField[] = [];
  field(field: HeaderField): void {
    this.fields.push(field);
  }
  get text(): string {
    return this.fields.map(field => `${field.name}: ${field.value}`).join("\n");
  }
}

function decode(decoder: HpackDecoder, block: Buffer, listBytesMax = 65_536): Collected {
  const collected = new Collected();
  decoder.decode(block, 0, block.length, collected, listBytesMax);
  return collected;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

/** RFC 7541, appendix C: blocks of one connection with the list they mean and the table's size behind them. */
const vectors: { name: string; tableBytes: number; blocks: [hex: string, list: string, tableBytes: number][] }[] = [
  {
    name: "C.2.1 literal with indexing",
    tableBytes: 4096,
    blocks: [["400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header", 55]],
  },
  {
    name: "C.2.2 literal without indexing",
    tableBytes: 4096,
    blocks: [["040c2f73616d706c652f70617468", ":path: /sample/path", 0]],
  },
  {
    name: "C.2.3 literal never indexed",
    tableBytes: 4096,
    blocks: [["100870617373776f726406736563726574", "password: secret", 0]],
  },
  { name: "C.2.4 indexed", tableBytes: 4096, blocks: [["82", ":method: GET", 0]] },
  ...[
    {
      name: "C.3 requests without Huffman",
      codes: [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
      ],
    },
    {
      name: "C.4 requests with Huffman",
      codes: [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
      ],
    },
  ].map(({ name, codes }) => ({
    name,
    tableBytes: 4096,
    blocks: [
      [codes[0]!, ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com", 57],
      [codes[1]!, ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache", 110],
      [
        codes[2]!,
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
        164,
      ],
    ] as [string, string, number][],
  })),
  ...[
    {
      name: "C.5 responses without Huffman, with eviction",
      codes: [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
      ],
    },
    {
      name: "C.6 responses with Huffman, with eviction",
      codes: [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
      ],
    },
  ].map(({ name, codes }) => ({
    name,
    tableBytes: 256,
    blocks: [
      [
        codes[0]!,
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        222,
      ],
      [
        codes[1]!,
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        222,
      ],
      [
        codes[2]!,
        ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n" +
          "content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        215,
      ],
    ] as [string, string, number][],
  })),
];

for (const { name, tableBytes, blocks } of vectors) {
  test(`RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder(tableBytes);
    for (const [code, list, size] of blocks) {
      assert.equal(decode(decoder, hex(code)).text, list);
      assert.equal(decoder.table.bytes, size);
    }
  });
}

test("Huffman code of RFC 7541, C.4.1", () => {
  const target = Buffer.alloc(12);
  assert.equal(huffmanEncode("www.example.com", target, 0), 12);
  assert.equal(target.toString("hex"), "f1e3c2e5f23a6ba0ab90f4ff");
});

const latin1 = fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes).toString("latin1"));

test("Huffman: decoding undoes encoding, for every octet", () => {
  fc.assert(
    fc.property(latin1, text => {
      const encoded = Buffer.alloc(huffmanLength(text));
      assert.equal(huffmanEncode(text, encoded, 0), encoded.length);
      const decoded = Buffer.alloc(text.length + 8);
      const count = huffmanDecode(encoded, 0, encoded.length, decoded);
      assert.equal(decoded.toString("latin1", 0, count), text);
    }),
  );
});

test("Huffman: wrong padding and the end-of-string symbol are refused", () => {
  const target = Buffer.alloc(64);
  for (const code of ["ff", "1cffff", "18", "ffffffff", "fffffffc"]) {
    assert.equal(huffmanDecode(hex(code), 0, code.length / 2, target), -1, code);
  }
});

/** Fields of which some are constants, some secret, some repeat. */
const fieldArbitrary = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 60 }))
    .map(([n, length]) => constantField(`constant-${n}`, "v".repeat(length))),
  fc.tuple(latin1, latin1, fc.boolean()).map(([name, value, secret]) => new HeaderField(name, value, secret)),
  fc.constantFrom("a.test", "b.test").map(value => new HeaderField(":authority", value)),
  fc.constantFrom("200", "404", "418").map(value => constantField(":status", value)),
);

test("decoding undoes encoding through any sequence of blocks and table sizes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(fieldArbitrary, { maxLength: 20 }), fc.option(fc.integer({ min: 0, max: 5000 }))), {
        maxLength: 20,
      }),
      blocks => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const [fields, tableBytes] of blocks) {
          if (tableBytes !== null) encoder.allowTableBytes(tableBytes);
          const writer = new ByteWriter(16);
          encoder.beginBlock(writer);
          for (const field of fields) encoder.encode(writer, field);
          const decoded = decode(decoder, writer.copyFrom(0)).fields;
          const plain = (field: HeaderField) => ({
            name: field.name,
            value: field.value,
            sensitive: field.sensitive,
          });
          assert.deepEqual(decoded.map(plain), fields.map(plain));
        }
      },
    ),
  );
});

test("garbage is refused with HpackError and nothing else", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), blocks => {
      const decoder = new HpackDecoder();
      for (const block of blocks) {
        try {
          decode(decoder, Buffer.from(block));
        } catch (error) {
          assert.ok(error instanceof HpackError, String(error));
          return;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("constants cost one octet the second time, secrets never enter a table", () => {
  const encoder = new HpackEncoder();
  const repeated = constantField("content-type", "application/x-hpack-test");
  const secret = new HeaderField("authorization", "Bearer 1234", true);
  const sizes = [1, 2].map(() => {
    const writer = new ByteWriter();
    encoder.encode(writer, repeated);
    const first = writer.position;
    encoder.encode(writer, secret);
    assert.equal(writer.bytes[first]! & 0xf0, 0x10, "never indexed");
    return first;
  });
  assert.ok(sizes[0]! > 10);
  assert.equal(sizes[1], 1);
});

test("every reference to a table entry gives the same object, the root path one per connection", () => {
  const decoder = new HpackDecoder();
  const first = decode(decoder, hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")).fields[0];
  assert.equal(decode(decoder, hex("be")).fields[0], first);
  const root = decode(decoder, hex("84")).fields[0];
  assert.equal(decode(decoder, hex("84")).fields[0], root);
  assert.notEqual(decode(new HpackDecoder(), hex("84")).fields[0], root);
});

test("a list above the limit is not handed out, but its entries are in the table", () => {
  const decoder = new HpackDecoder();
  const block = hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572");
  assert.equal(decode(decoder, block, 40).fields.length, 0);
  assert.equal(decoder.isTooLarge, true);
  assert.equal(decode(decoder, hex("be")).text, "custom-key: custom-header");
});

test("fields that HTTP/2 forbids are known as such", () => {
  const bad: [string, string][] = [
    ["Upper", "x"],
    ["", "x"],
    ["with space", "x"],
    [":unknown", "x"],
    ["connection", "close"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "h2c"],
    ["te", "gzip"],
    ["x", "a\rb"],
    ["x", "a\nb"],
    ["x", "a\0b"],
    ["x", " a"],
    ["x", "a\t"],
    ["content-length", "1e3"],
    ["content-length", "-1"],
  ];
  for (const [name, value] of bad) assert.equal(fieldKind(name, value), FieldKind.malformed, `${name}: ${value}`);
  assert.equal(fieldKind("te", "trailers"), FieldKind.regular);
  assert.equal(fieldKind("x", "a\tb ü"), FieldKind.regular);
});
