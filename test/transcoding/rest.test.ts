import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { brotliCompressSync, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  BadRequestSchema,
  createChannel,
  createClient,
  createServer,
  type Handlers,
  implement,
  isRpcError,
  RpcError,
  type Server,
} from "trunkline";
import { Bodies, Color, Streams, Things } from "../gen/transcoding/v1/transcoding_pb.ts";
import { HttpClient } from "./http-client.ts";

let server: Server;
let client: HttpClient;
let port = 0;

const streams: Handlers<typeof Streams> = {
  async *count({ to, fail }) {
    for (let itemNumber = 1; itemNumber <= to; itemNumber++) yield { itemNumber, color: Color.DARK_BLUE };
    if (fail) throw new RpcError("failed_precondition", "no more");
  },
  async collect(items) {
    const texts: string[] = [];
    for await (const { itemNumber, note } of items) texts.push(`${note}${itemNumber}`);
    return { texts };
  },
  async *chat(items) {
    for await (const { itemNumber } of items) yield { itemNumber: itemNumber * 2 };
  },
  async *download({ to, fail }) {
    const data = new TextEncoder().encode("piece");
    for (let index = 0; index < to; index++) yield { contentType: "text/plain", data };
    if (fail) throw new RpcError("unavailable", "the disk is gone");
  },
  async sendPieces(pieces) {
    let name = "";
    let type = "";
    const bytes: Uint8Array[] = [];
    for await (const piece of pieces) {
      name = piece.name;
      type = piece.file?.contentType ?? "";
      bytes.push(piece.file?.data ?? new Uint8Array());
    }
    return { texts: [name, type, Buffer.concat(bytes).toString("latin1")] };
  },
};
const things: Handlers<typeof Things> = {
  getThing({ thingId }, call) {
    if (thingId === "missing") throw new RpcError("not_found", "there is no such thing");
    if (thingId === "tagged") call.responseHeaders.set("etag", '"v1"');
    if (thingId === "old") call.responseHeaders.set("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    if (thingId === "broken") throw new Error("a secret");
    if (thingId === "checked") {
      const violation = { field: "thing_id", description: "is odd", reason: "own.rule" };
      throw new RpcError("invalid_argument", "odd", {
        details: [[BadRequestSchema, { fieldViolations: [violation] }]],
      });
    }
    return { thingId, description: "x".repeat(thingId === "large" ? 5_000 : 0) };
  },
  makeThing: thing => thing,
};

before(async () => {
  server = createServer({
    services: [
      implement(Streams, streams),
      implement(Things, things),
      implement(Bodies, {
        raw: request => ({ contentType: request.contentType, data: request.data }),
        sendFile: ({ name, note, file }) => ({
          method: `${name} ${note} ${file?.contentType}`,
          request: Buffer.from(file?.data ?? []).toString("hex"),
        }),
        part: () => ({ text: "x", nested: { pageSize: 2 } }),
        nothing: () => ({}),
      }),
    ],
    limits: { messageBytesMax: 100_000 },
  });
  ({ port } = await server.listen({ host: "127.0.0.1", port: 0 }));
  client = new HttpClient(port);
});
after(async () => {
  client[Symbol.dispose]();
  await server.close();
});

const json = (body: Buffer): unknown => JSON.parse(body.toString());
const violations = (body: Buffer) => (json(body) as { violations: { field: string; rule: string }[] }).violations;

describe("answers", () => {
  test("a HEAD of a GET route has its head and no body", async () => {
    const get = await client.send("GET /things/a");
    const head = await client.send("HEAD /things/a");
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], String(get.body.length));
    assert.equal(head.headers["etag"], get.headers["etag"]);
    assert.equal(head.body.length, 0);
  });

  test("OPTIONS says what a path takes, for unknown paths there is nothing to say", async () => {
    const answer = await client.send("OPTIONS /things");
    assert.deepEqual([answer.status, answer.headers["allow"]], [204, "POST, OPTIONS"]);
    assert.equal((await client.send("OPTIONS /nothing/here")).status, 404);
  });

  test("what was made has its status and its place", async () => {
    const body = '{"thing_id":"a/b","thing_parts":[{"part_size":1}]}';
    const answer = await client.send("POST /things", body);
    assert.deepEqual([answer.status, answer.headers["location"]], [201, "/things/a%2Fb"]);
  });

  test("a response_body is the field alone, also an absent list", async () => {
    assert.equal((await client.send("GET /b/part")).body.toString(), '"x"');
    assert.equal((await client.send("GET /b/part/list")).body.toString(), "[]");
    assert.equal((await client.send("GET /b/part/message")).body.toString(), '{"pageSize":2}');
    assert.equal((await client.send("GET /b/nothing")).body.toString(), "{}");
  });

  test("an error is a problem with the path as its instance", async () => {
    const answer = await client.send("GET /things/missing?");
    assert.equal(answer.headers["content-type"], "application/problem+json");
    assert.deepEqual(json(answer.body), {
      type: "about:blank",
      title: "Not Found",
      status: 404,
      detail: "there is no such thing",
      instance: "/things/missing",
      code: "not_found",
    });
  });

  test("a handler's own fault stays its own", async () => {
    const answer = await client.send("GET /things/broken");
    assert.equal(answer.status, 500);
    assert(!answer.body.includes("secret"));
  });

  test("violations that a handler found are listed like those of the contract", async () => {
    const answer = await client.send("GET /things/checked");
    assert.deepEqual(violations(answer.body), [{ field: "thing_id", message: "is odd", rule: "own.rule" }]);
  });
});

describe("rules of the contract", () => {
  const bad = '{"thing_parts":[{"part_size":0},{"part_size":1}],"price":-1}';
  const expected = [
    { field: "thing_id", rule: "string.min_len" },
    { field: "thing_parts[0].part_size", rule: "int32.gt" },
    { field: "price", rule: "double.gte" },
  ];

  test("REST lists every violation in the dialect's spelling", async () => {
    const answer = await client.send("POST /things", bad);
    assert.equal(answer.status, 400);
    const found = violations(answer.body).map(({ field, rule }) => ({ field, rule }));
    assert.deepEqual(found, expected);
  });

  for (const protocol of ["grpc", "connect", "grpc-web"] as const) {
    test(`${protocol} has the same violations as google.rpc.BadRequest`, async () => {
      await using channel = createChannel(`127.0.0.1:${port}`, { protocol });
      const error = await createClient(Things, channel)
        .makeThing({ thingParts: [{ partSize: 0 }, { partSize: 1 }], price: -1 })
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
      assert(isRpcError(error, "invalid_argument"), String(error));
      const [detail] = error.details;
      assert(detail !== undefined && "type" in detail);
      assert.equal(detail.type, "google.rpc.BadRequest");
      const { fieldViolations } = fromBinary(BadRequestSchema, detail.value);
      assert.deepEqual(
        fieldViolations.map(({ field, reason }) => ({ field, rule: reason })),
        expected,
      );
    });
  }

  test("they hold for each message of a stream", async () => {
    const body = '{"item_number":1}\n{"item_number":-1}\n';
    const answer = await client.send("POST /s/collect/n", body, { "content-type": "application/x-ndjson" });
    assert.equal(answer.status, 400);
    assert.equal(violations(answer.body)[0]?.field, "item_number");
  });

  test("path and query are held to them as well", async () => {
    assert.equal(violations((await client.send(`GET /things/${"x".repeat(21)}`)).body)[0]?.rule, "string.max_len");
    assert.equal(violations((await client.send("GET /s/count/1001")).body)[0]?.field, "to");
  });
});

describe("negotiation", () => {
  const accept = (value: string, line = "GET /things/a") => client.send(line, undefined, { accept: value });

  test("what accepts JSON in any way gets it", async () => {
    for (const value of [
      "application/json",
      "*/*",
      "application/*",
      "text/html, */*;q=0.1",
      "application/json;q=0.5",
      "",
    ]) {
      assert.equal((await accept(value)).status, 200, value);
    }
  });

  test("what does not is told so before anything runs", async () => {
    for (const value of ["text/html", "application/json;q=0", "image/*", "application/json;q=0, */*"]) {
      assert.equal((await accept(value)).status, 406, value);
    }
    assert.equal((await accept("application/json", "GET /s/count/1")).status, 406);
  });

  test("a body that is not JSON is 415 and told what is", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/json; charset=latin1",
      "text/json",
    ]) {
      const answer = await client.send("POST /things", "{}", { "content-type": type });
      assert.deepEqual([answer.status, answer.headers["accept"]], [415, "application/json"], type);
    }
    const patch = await client.send("POST /things", "{}", {
      "content-type": 'application/merge-patch+json; charset="UTF-8"',
    });
    assert.equal(patch.status, 400); // read, and found wanting
  });

  test("a body without a type is JSON, unless a browser sent it from another place", async () => {
    const headers = { "content-type": "" };
    assert.equal((await client.send("POST /things", "{}", headers)).status, 400);
    assert.equal((await client.send("POST /things", "{}", { ...headers, origin: "https://evil.example" })).status, 415);
  });

  test("large answers are compressed for those that read it, and say that they vary", async () => {
    const get = (encoding: string) => client.send("GET /things/large", undefined, { "accept-encoding": encoding });
    const plain = await get("identity");
    assert.equal(plain.headers["vary"], "accept-encoding");
    assert.equal(plain.headers["content-encoding"], undefined);
    const zstd = await get("gzip, deflate, br, zstd");
    assert.equal(zstd.headers["content-encoding"], "zstd");
    assert.deepEqual(zstdDecompressSync(zstd.body), plain.body);
    const gzip = await get("gzip;q=1, zstd;q=0.5, br;q=0");
    assert.equal(gzip.headers["content-encoding"], "gzip");
    assert.deepEqual(gunzipSync(gzip.body), plain.body);
    assert.equal((await get("gzip;q=0.1, identity;q=1")).headers["content-encoding"], undefined);
    assert.equal(
      (await client.send("GET /things/a", undefined, { "accept-encoding": "gzip" })).headers["vary"],
      undefined,
    );
  });

  test("bodies come in each content coding", async () => {
    const body = Buffer.from('{"thing_id":"a","thing_parts":[{"part_size":1}]}');
    const coded = { gzip: gzipSync(body), br: brotliCompressSync(body), zstd: zstdCompressSync(body) };
    for (const [encoding, bytes] of Object.entries(coded)) {
      assert.equal((await client.send("POST /things", bytes, { "content-encoding": encoding })).status, 201, encoding);
    }
    assert.equal((await client.send("POST /things", body, { "content-encoding": "gzip" })).status, 400);
    const unknown = await client.send("POST /things", body, { "content-encoding": "compress" });
    assert.deepEqual([unknown.status, unknown.headers["accept-encoding"]], [415, "gzip, br, zstd, deflate"]);
  });

  test("a body over the limit is 413, before and after it is unpacked", async () => {
    const large = JSON.stringify({ description: "x".repeat(200_000) });
    assert.equal((await client.send("POST /things", large)).status, 413);
    assert.equal((await client.send("POST /things", gzipSync(large), { "content-encoding": "gzip" })).status, 413);
  });
});

describe("caching", () => {
  const get = (line: string, headers: Readonly<Record<string, string>>) => client.send(line, undefined, headers);

  test("an unchanged answer is not sent again", async () => {
    const tag = String((await client.send("GET /things/a")).headers["etag"]);
    assert.match(tag, /^W\/"[\w-]{27}"$/);
    for (const value of [tag, tag.slice(2), `"x", ${tag}`, "*"]) {
      const answer = await get("GET /things/a", { "if-none-match": value });
      assert.deepEqual([answer.status, answer.body.length, answer.headers["etag"]], [304, 0, tag], value);
    }
    assert.equal((await get("GET /things/b", { "if-none-match": tag })).status, 200);
    assert.equal((await get("GET /things/missing", { "if-none-match": "*" })).status, 404);
  });

  test("a handler's own validators are used", async () => {
    assert.equal((await get("GET /things/tagged", { "if-none-match": 'W/"v1"' })).status, 304);
    assert.equal((await get("GET /things/tagged", { "if-match": '"v1"' })).status, 200);
    assert.equal((await get("GET /things/tagged", { "if-match": '"v2"' })).status, 412);
    assert.equal((await get("GET /things/old", { "if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT" })).status, 304);
    assert.equal((await get("GET /things/old", { "if-modified-since": "Sun, 31 Dec 2023 00:00:00 GMT" })).status, 200);
    assert.equal(
      (await get("GET /things/old", { "if-unmodified-since": "Sun, 31 Dec 2023 00:00:00 GMT" })).status,
      412,
    );
    assert.equal((await get("GET /things/old", { "if-modified-since": "nonsense" })).status, 200);
  });

  test("what may have side effects has no validator", async () => {
    const body = '{"thing_id":"a","thing_parts":[{"part_size":1}]}';
    assert.equal((await client.send("POST /things", body)).headers["etag"], undefined);
  });
});

describe("streams", () => {
  test("a server stream is a message a line", async () => {
    const answer = await client.send("GET /s/count/2");
    assert.equal(answer.headers["content-type"], "application/x-ndjson");
    assert.equal(
      answer.body.toString(),
      '{"item_number":1,"color":"dark_blue"}\n{"item_number":2,"color":"dark_blue"}\n',
    );
    assert.equal((await client.send("GET /s/count/0")).body.length, 0);
  });

  test("an error after the first line is the last line, before it an ordinary problem", async () => {
    const late = (await client.send("GET /s/count/1?fail=true")).body.toString().trimEnd().split("\n");
    assert.equal(late.length, 2);
    assert.equal(JSON.parse(late[1] ?? "").error.code, "failed_precondition");
    const early = await client.send("GET /s/count/0?fail=true");
    assert.deepEqual([early.status, early.headers["content-type"]], [400, "application/problem+json"]);
  });

  test("an event stream has an id for each message, and an event without one for the error", async () => {
    const answer = await client.send("GET /s/count/1?fail=true", undefined, { accept: "text/event-stream" });
    assert.equal(answer.headers["content-type"], "text/event-stream");
    const [first, second, end] = answer.body.toString().split("\n\n");
    assert.equal(first, 'id: 1\ndata: {"item_number":1,"color":"dark_blue"}');
    assert.match(second ?? "", /^event: error\ndata: \{"type":"about:blank".*"failed_precondition"\}$/);
    assert.equal(end, "");
  });

  test("HEAD of a stream runs nothing", async () => {
    const answer = await client.send("HEAD /s/count/1000?fail=true");
    assert.deepEqual([answer.status, answer.headers["content-type"]], [200, "application/x-ndjson"]);
  });

  const lines = { "content-type": "application/x-ndjson" };
  test("a client stream is a message a line, with what the path says in each", async () => {
    const body = '{"item_number":1}\r\n\n {"item_number":"2"} \n{"item_number":3,"note":"mine"}';
    const answer = await client.send("POST /s/collect/n", body, lines);
    assert.deepEqual(json(answer.body), { texts: ["n1", "n2", "n3"] });
    assert.deepEqual(json((await client.send("POST /s/collect/n", "", lines)).body), {});
  });

  test("a bad line is named by its number", async () => {
    const answer = await client.send("POST /s/collect/n", '{"item_number":1}\n{"item_number":"x"}\n', lines);
    assert.equal(answer.status, 400);
    assert.match(String((json(answer.body) as { detail: string }).detail), /^line 2: item_number/);
    assert.equal((await client.send("POST /s/collect/n", "{}\n", { "content-type": "application/json" })).status, 415);
    assert.equal((await client.send("POST /s/collect/n", `"${"x".repeat(200_000)}`, lines)).status, 413);
  });

  test("both sides may stream", async () => {
    const answer = await client.send("POST /s/chat", '{"item_number":1}\n{"item_number":2}\n', lines);
    assert.equal(answer.body.toString(), '{"item_number":2}\n{"item_number":4}\n');
  });
});

describe("bodies of any type", () => {
  test("come and go as they are", async () => {
    const bytes = Buffer.from([0, 255, 10]);
    const answer = await client.send("POST /b/raw", bytes, { "content-type": "image/png" });
    assert.deepEqual([answer.headers["content-type"], answer.body], ["image/png", bytes]);
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  });

  test("fill a field, beside path and query", async () => {
    const answer = await client.send("POST /b/upload/a?note=b", Buffer.from([1, 2]), { "content-type": "x/y" });
    assert.deepEqual(json(answer.body), { method: "a b x/y", request: "0102" });
    assert.equal((await client.send("POST /b/upload/a?file.data=b", "")).status, 400);
  });

  test("stream in pieces both ways", async () => {
    const download = await client.send("GET /s/download/3");
    assert.deepEqual([download.headers["content-type"], download.body.toString()], ["text/plain", "piecepiecepiece"]);
    const answer = await client.send("POST /s/pieces/a", "some bytes", { "content-type": "text/plain" });
    assert.deepEqual(json(answer.body), { texts: ["a", "text/plain", "some bytes"] });
  });

  test("that break off are cut, not ended", async () => {
    await assert.rejects(client.send("GET /s/download/1?fail=true"));
    assert.equal((await client.send("GET /s/download/0?fail=true")).status, 503);
  });
});

test("any bytes as a request get an answer or a clean close, never 500", async () => {
  const anyText = fc.oneof(
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.constantFrom("%", "%2F", "..", "{}", ":", "\u0000", "a=b&c"),
  );
  const target = fc
    .tuple(
      fc.constantFrom("/things/", "/things", "/s/count/", "/s/collect/", "/b/raw", "/b/upload/", "/"),
      anyText,
      anyText,
    )
    .map(([path, rest, query]) => `${path}${rest}?${query}`);
  const header = fc.constantFrom(
    "content-type",
    "accept",
    "content-encoding",
    "accept-encoding",
    "if-none-match",
    "if-match",
    "x-request-timeout-ms",
    "range",
    "expect",
  );
  const value = fc.oneof(
    fc.constantFrom(
      "application/json",
      "application/x-ndjson",
      "gzip",
      "text/event-stream",
      "*",
      "5",
      '"x"',
      "bytes=0-1",
    ),
    anyText,
  );
  const body = fc.oneof(
    fc.json(),
    anyText,
    fc.constantFrom('{"thing_id":"a","thing_parts":[{"part_size":1}]}', "[".repeat(50_000)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "X"),
      target,
      fc.array(fc.tuple(header, value), { maxLength: 3 }),
      body,
      async (method, path, headers, content) => {
        const bytes: Buffer = Buffer.from(content, "latin1");
        const head = [`${method} ${path} HTTP/1.1`, "host: a", `content-length: ${bytes.length}`, "connection: close"];
        for (const [name, text] of headers) head.push(`${name}: ${text}`);
        const answer = await exchange(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), bytes]));
        const status = Number(/^HTTP\/1\.1 (?!1)(\d{3})/m.exec(answer)?.[1] ?? 0);
        assert(status === 0 ? answer === "" : status < 500 || status === 501, answer.slice(0, 500));
      },
    ),
    { numRuns: 400 },
  );
});

/** Everything that comes back for some bytes, until the server closes. */
function exchange(bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.end(bytes);
  });
}
