import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { createServer, implement, type Server } from "trunkline";
import { Bodies, Paths, Streams, Things } from "../gen/transcoding/v1/transcoding_pb.ts";
import { type Answer, HttpClient } from "./http-client.ts";

const messageBytesMax = 1024 * 1024;
let server: Server;
let client: HttpClient;
let port = 0;
let calls = 0;

before(async () => {
  const count = () => {
    calls++;
    return {};
  };
  const answered = (methods: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.keys(methods).map(name => [name, count]));
  server = createServer({
    services: [
      implement(Paths, answered(Paths.method)),
      implement(Bodies, answered(Bodies.method)),
      implement(Things, answered(Things.method)),
      implement(Streams, {
        async collect(items) {
          let count = 0;
          for await (const _ of items) count++;
          return { texts: [String(count)] };
        },
      }),
    ],
    limits: { messageBytesMax },
  });
  ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }));
  client = new HttpClient(port);
});
after(async () => {
  client[Symbol.dispose]();
  await server.close();
});

interface Problem {
  readonly status: number;
  readonly detail: string;
  readonly violations?: readonly { readonly field: string; readonly rule: string }[];
}

function problemOf(answer: Answer): Problem {
  assert.equal(answer.headers["content-type"], "application/problem+json", answer.body.toString().slice(0, 200));
  const problem = JSON.parse(answer.body.toString()) as Problem;
  assert.equal(problem.status, answer.status);
  return problem;
}

async function refused(line: string, status: number, field: string, body?: string | Buffer, headers = {}) {
  const before = calls;
  const answer = await client.send(line, body, headers);
  assert.equal(answer.status, status, answer.body.toString().slice(0, 300));
  const { violations, detail } = problemOf(answer);
  assert.equal(violations?.[0]?.field, field);
  assert(answer.body.length < 5_000, `${answer.body.length} bytes of answer`);
  assert.equal(calls, before, "no handler was reached");
  return detail;
}

describe("encodings that are no text", () => {
  const broken: Record<string, string> = {
    "an overlong slash": "%c0%af",
    "an overlong NUL": "%c0%80",
    "an overlong slash of three bytes": "%e0%80%af",
    "an overlong slash of four bytes": "%f0%80%80%af",
    "a surrogate": "%ed%a0%80",
    "a pair of surrogates": "%ed%a0%bd%ed%b8%80",
    "a code point beyond the last": "%f4%90%80%80",
    "a lone continuation": "%80",
    "a cut sequence": "%e2%82",
    "a byte that UTF-8 never has": "%fe",
    "a lone percent": "%",
    "half an escape": "%2",
    "an escape of other letters": "%g0",
    "an escape of a sign": "%+1",
    "an escape of UTF-16": "%u002f",
  };
  for (const [name, text] of Object.entries(broken)) {
    test(`${name} is refused in a variable, a name and a value`, async () => {
      await refused(`GET /v1/one/a${text}`, 400, "name");
      await refused(`GET /v1/rest/a/${text}`, 400, "name");
      await refused(`GET /v1/literal?name=${text}`, 400, "name");
      await refused(`GET /v1/literal?${text}=a`, 400, `${text}=a`);
      assert.equal((await client.send(`GET /v1/liter${text}al`)).status, 404);
    });
  }
});

describe("text that means something to others is text here", () => {
  const texts = ["%00", "%2e%2e", "%2e%2e%2f%2e%2e", "%252e%252e", "%255c", "%5c..%5c", "%0d%0aset-cookie:a", "%u002e"];
  for (const text of texts.slice(0, -1)) {
    test(`${text} is decoded once and goes nowhere else`, async () => {
      const answer = await client.send(`GET /v1/one/${text}`);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers["set-cookie"], undefined);
    });
  }

  test("no dots lead from one route to another", async () => {
    for (const path of ["/v1/one/../literal", "/v1/one/a/../../literal", "/v1/./literal", "/v1/%2e/literal"]) {
      assert.equal((await client.send(`GET ${path}`)).status, 404, path);
    }
  });
});

describe("queries", () => {
  test("a thousand parameters are enough", async () => {
    const names = (count: number) => Array(count).fill("names=").join("&");
    assert.equal((await client.send(`GET /v1/literal?${names(1_000)}`)).status, 200);
    await refused(`GET /v1/literal?${names(1_001)}`, 400, "");
  });

  test("a path of a thousand messages is too deep, and none of them is made", async () => {
    const name = `${"again.".repeat(1_000)}i32`;
    const answer = await client.send(`GET /v1/literal?${name}=1`);
    assert.equal(answer.status, 400);
    assert.equal(problemOf(answer).violations?.[0]?.rule, "json.depth");
    assert(answer.body.length < 5_000);
  });

  test("no path leads into a message that is a text, or into an Any or Struct", async () => {
    for (const name of [
      "at.seconds",
      "took.nanos",
      "text.value",
      "mask.paths",
      "any.type_url",
      "open.fields",
      "ats.seconds",
    ]) {
      await refused(`GET /v1/literal?${name}=1`, 400, name);
    }
  });

  test("parameters that contradict the path, the body or each other are refused with their name", async () => {
    await refused("GET /v1/one/a?name=a", 400, "name");
    await refused("GET /v1/literal?custom=a&spelled_name=a", 400, "spelled_name");
    await refused("POST /b/nested/a?nested.name=x", 400, "nested.name", "{}");
    await refused("POST /b/whole?i32=1", 400, "i32", "{}");
    await refused("GET /v1/literal?left=a&right=1", 400, "right");
  });

  test("a name of thousands of characters is not said back", async () => {
    await refused(`GET /v1/literal?${"x".repeat(7_000)}=1`, 400, `${"x".repeat(100)}…`);
  });
});

describe("bodies", () => {
  const post = (body: string | Buffer, headers = {}) => client.send("POST /b/whole", body, headers);

  test("arrays and objects as deep as the limit are refused without harm", async () => {
    for (const depth of [200, 5_000, 100_000, 500_000]) {
      const array = await post("[".repeat(depth) + "]".repeat(depth));
      assert.equal(array.status, 400);
      const unknown = await post(`{"open":${'{"a":'.repeat(depth / 5)}1${"}".repeat(depth / 5)}}`);
      assert(unknown.status === 400 || (unknown.status === 200 && depth / 5 < 100), String(unknown.status));
      const list = await post(`{"open":{"a":${"[".repeat(depth)}${"]".repeat(depth)}}}`);
      assert.equal(list.status, 400);
    }
  });

  test("a million items of a wrong type cost one violation", async () => {
    const answer = await post(`{"numbers":[${Array(250_000).fill('"x"').join(",")}]}`);
    assert.equal(answer.status, 400);
    assert.equal(problemOf(answer).violations?.length, 1);
  });

  test("a hundred thousand broken rules are a hundred violations", async () => {
    const parts = Array(40_000).fill('{"part_size":0}').join(",");
    const answer = await client.send("POST /things", `{"thing_id":"a","thing_parts":[${parts}]}`);
    assert.equal(answer.status, 400);
    assert.equal(problemOf(answer).violations?.length, 100);
    assert(answer.body.length < 30_000);
  });

  test("an unknown member of a megabyte is not said back", async () => {
    const answer = await post(JSON.stringify({ ["x".repeat(900_000)]: 1 }));
    assert.equal(answer.status, 400);
    assert.equal(problemOf(answer).violations?.[0]?.rule, "json.unknown_field");
    assert(answer.body.length < 5_000, `${answer.body.length} bytes of answer`);
  });

  test("neither is a text of a megabyte of the wrong type", async () => {
    for (const name of ["i32", "e", "at", "took", "by", "mask", "b", "d", "i64", "flag", "count"]) {
      const answer = await post(JSON.stringify({ [name]: "!_".repeat(450_000) }));
      assert.equal(answer.status, 400, name);
      assert.equal(problemOf(answer).violations?.[0]?.field, name);
      assert(answer.body.length < 2_000, `${name}: ${answer.body.length} bytes of answer`);
    }
  });

  test("names of the prototype are unknown names", async () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      await refused("POST /b/whole", 400, name, `{"${name}":{"name":"a"}}`);
      await refused("POST /b/whole", 400, `nested.${name}`, `{"nested":{"${name}":1}}`);
    }
    assert.equal(({} as Record<string, unknown>)["name"], undefined);
  });

  test("bytes that are no UTF-8, or begin with a mark of their order, are refused", async () => {
    await refused("POST /b/whole", 400, "", Buffer.from('{"name":"\xff"}', "latin1"));
    await refused("POST /b/whole", 400, "", Buffer.from('{"name":"\xc0\xaf"}', "latin1"));
    await refused("POST /b/whole", 400, "", Buffer.from('{"name":"a"}', "utf16le"));
    await refused("POST /b/whole", 400, "", '\ufeff{"name":"a"}');
    await refused("POST /b/whole", 400, "name", '{"name":"\\ud800"}');
  });

  test("a body that is announced as too large is refused before it is asked for", async () => {
    const head = ["POST /b/whole HTTP/1.1", "host: a", "content-type: application/json", "expect: 100-continue"];
    const answer = await raw(`${head.join("\r\n")}\r\ncontent-length: ${messageBytesMax + 1}\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 413 /);
  });

  test("one that grows too large is refused when it does", async () => {
    const head = ["POST /b/whole HTTP/1.1", "host: a", "content-type: application/json", "transfer-encoding: chunked"];
    const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
    const answer = await raw(`${head.join("\r\n")}\r\n\r\n${chunk.repeat(17)}`);
    assert.match(answer, /^HTTP\/1\.1 413 /);
  });
});

describe("content codings", () => {
  const codings = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync } as const;
  const text = Buffer.from('{"name":"a"}');
  const bomb = Buffer.alloc(64 * 1024 * 1024, 0x20);
  const send = (coding: string, body: Buffer) => client.send("POST /b/whole", body, { "content-encoding": coding });

  for (const [coding, compress] of Object.entries(codings)) {
    test(`${coding}: a bomb is stopped at the limit, not after it`, async () => {
      const small = compress(bomb);
      assert(small.length < messageBytesMax);
      const before = process.memoryUsage.rss();
      for (let round = 0; round < 5; round++) assert.equal((await send(coding, small)).status, 413);
      const growth = process.memoryUsage.rss() - before;
      assert(growth < bomb.length, `${growth} bytes for bombs of ${bomb.length}`);
    });

    test(`${coding}: exactly the limit is taken, one byte more is not`, async () => {
      const padded = (bytes: number) => Buffer.concat([text, Buffer.alloc(bytes - text.length, 0x20)]);
      assert.equal((await send(coding, compress(padded(messageBytesMax)))).status, 200);
      assert.equal((await send(coding, compress(padded(messageBytesMax + 1)))).status, 413);
    });

    test(`${coding}: what is cut, or no ${coding} at all, is refused`, async () => {
      const whole = compress(Buffer.from(`{"name":"${"ab".repeat(500)}"}`));
      for (const body of [whole.subarray(0, whole.length - 3), whole.subarray(0, 5), text, Buffer.from([0xff, 0xff])]) {
        const answer = await send(coding, body);
        assert.equal(answer.status, 400);
        assert.equal(problemOf(answer).violations?.[0]?.rule, "content_encoding");
      }
    });

    test(`${coding}: nothing compressed is an empty body`, async () => {
      assert.equal((await send(coding, compress(Buffer.alloc(0)))).status, 200);
    });
  }

  test("names are read without regard to case, x-gzip is gzip, identity is nothing", async () => {
    assert.equal((await send("GZip", gzipSync(text))).status, 200);
    assert.equal((await send("x-gzip", gzipSync(text))).status, 200);
    assert.equal((await send("Identity", text)).status, 200);
  });

  test("a coding of a coding, or an unknown one, is 415 with what would be right", async () => {
    for (const coding of ["gzip, gzip", "gzip, br", "compress", "aws-chunked", "x"]) {
      const answer = await send(coding, gzipSync(gzipSync(text)));
      assert.equal(answer.status, 415, coding);
      assert.equal(answer.headers["accept-encoding"], "gzip, br, zstd, deflate");
    }
  });

  test("an answer that a client takes neither plain nor compressed is not made", async () => {
    const before = calls;
    const answer = await client.send("POST /b/whole", "{}", { "accept-encoding": "identity;q=0, compress" });
    assert.equal(answer.status, 406);
    assert.equal(calls, before);
    const small = await client.send("POST /b/whole", "{}", { "accept-encoding": "identity;q=0, gzip" });
    assert.deepEqual(
      [small.status, small.headers["content-encoding"], small.headers["vary"]],
      [200, "gzip", "accept-encoding"],
    );
    assert.equal((await client.send("GET /s/count/1", undefined, { "accept-encoding": "*;q=0" })).status, 406);
  });
});

describe("floods", () => {
  test("a target that is too long is 414, a head 431, too many fields 431", async () => {
    assert.match(
      await raw(`GET /v1/literal?name=${"x".repeat(9_000)} HTTP/1.1\r\nhost: a\r\n\r\n`),
      /^HTTP\/1\.1 414 /,
    );
    assert.match(
      await raw(`GET /v1/literal HTTP/1.1\r\nhost: a\r\nx: ${"x".repeat(17_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    );
    assert.match(await raw(`GET /v1/literal HTTP/1.1\r\nhost: a\r\n${"x: 1\r\n".repeat(200)}\r\n`), /^HTTP\/1\.1 431 /);
  });

  test("half a million empty lines of a client's stream are passed over", async () => {
    const body = `${"\n".repeat(500_000)}{"item_number":1}\n${"\r\n".repeat(100_000)}`;
    const answer = await client.send("POST /s/collect/a", body, { "content-type": "application/x-ndjson" });
    assert.equal(answer.body.toString(), '{"texts":["1"]}');
  });

  test("fields said twice are never read as one of the two", async () => {
    const twice = async (name: string, first: string, second: string) => {
      const fields = `content-type: application/json\r\n${name}: ${first}\r\n${name}: ${second}\r\n`;
      return raw(`POST /b/whole HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${fields}content-length: 2\r\n\r\n{}`);
    };
    assert.match(await twice("content-type", "application/json", "text/plain"), /^HTTP\/1\.1 415 /);
    assert.match(await twice("content-encoding", "gzip", "br"), /^HTTP\/1\.1 415 /);
    assert.match(await twice("x-request-timeout-ms", "1000", "2000"), /^HTTP\/1\.1 400 /);
    assert.match(await twice("content-length", "2", "3"), /^HTTP\/1\.1 400 /);
  });
});

/** Everything that comes back for a text, until the server closes or has answered and goes on. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      if (/\r\n\r\n/.test(answer)) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
    socket.write(text, "latin1");
  });
}
