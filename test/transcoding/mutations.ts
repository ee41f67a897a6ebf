import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { bodyCases, pathCases, queryCases } from "./cases.ts";

/** A request as it is sent, before its head is written. */
export interface FuzzRequest {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | undefined;
}

const json = ["content-type", "application/json"] as const;
const lines = ["content-type", "application/x-ndjson"] as const;

/** Requests that mean something, of every route and kind of body: what mutations start from. */
export const seeds: readonly FuzzRequest[] = [
  ...[...pathCases, ...queryCases, ...bodyCases].map(([line, , body]): FuzzRequest => {
    const [method = "", target = ""] = line.split(" ");
    return body === undefined
      ? { method, target, fields: [], body: undefined }
      : { method, target, fields: [json], body: Buffer.from(body) };
  }),
  request("GET", "/things/a"),
  request("POST", "/things", '{"thing_id":"a","thing_parts":[{"part_size":1}],"price":1.5}', json),
  request("GET", "/s/count/3"),
  request("GET", "/s/count/3?fail=true", undefined, ["accept", "text/event-stream"]),
  request("POST", "/s/collect/n", '{"item_number":1}\n{"item_number":2,"color":"dark_blue"}\n', lines),
  request("POST", "/s/chat", '{"item_number":1}\n\n{"item_number":"2"}\r\n', lines),
  request("GET", "/s/download/3"),
  request("POST", "/s/pieces/a", "some bytes", ["content-type", "x/y"]),
  request("POST", "/b/raw", "some bytes", ["content-type", "image/png"]),
  request("POST", "/b/upload/a?note=b", "some bytes", ["content-type", "x/y"]),
  request("HEAD", "/c/head/a"),
  request("GET", "/c/head/a"),
  request("POST", "/c/attach/a", "some bytes", ["content-type", "x/y"]),
  request("POST", "/c/named", '{"name":"shelves/a","left":"b"}', json),
  request("GET", "/c/zero/enum"),
];

function request(method: string, target: string, body?: string, ...fields: FuzzRequest["fields"]): FuzzRequest {
  return { method, target, fields, body: body === undefined ? undefined : Buffer.from(body) };
}

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT", "X"];
const targetPieces = [
  ..."/:?&=+.;,@!$'()*~-_",
  ...[
    "%",
    "%2",
    "%zz",
    "%00",
    "%2F",
    "%2f",
    "%25",
    "%3A",
    "%c0%af",
    "%ed%a0%80",
    "%e2%82%ac",
    "%ff",
    "..",
    "//",
    "/../",
  ],
  ...[":verb", ":post", ":v%65rb", "{", "}", "|", "\\", "\u00e9", "\u0080"],
];
const parameterNames = [
  ...[
    "name",
    "nested.name",
    "nested.page_size",
    "nested.deeper.name",
    "again.i32",
    "again.again.again.name",
    "nesteds",
  ],
  ...[
    "counts",
    "i32",
    "i64",
    "u32",
    "u64",
    "f",
    "d",
    "b",
    "by",
    "e",
    "names",
    "numbers",
    "colors",
    "at",
    "took",
    "mask",
  ],
  ...[
    "text",
    "count",
    "flag",
    "open",
    "any",
    "maybe",
    "left",
    "right",
    "custom",
    "spelled_name",
    "ats",
    "ratio",
    "blob",
  ],
  ...["at.seconds", "to", "fail", "note", "file.data", "__proto__", "constructor", "unknown", "", "a[b]", "name.x"],
];
const values = [
  ...["", "0", "-0", "1", "-1", "1.5", "1e3", "1e400", "NaN", "Infinity", "-Infinity", "true", "false", "null", "0x10"],
  ...[
    "99999999999999999999",
    "2147483648",
    "9223372036854775808",
    "COLOR_RED",
    "red",
    "PURPLE",
    "AQI=",
    "_-8",
    "!",
    "a,b",
  ],
  ...[
    "2024-01-02T03:04:05Z",
    "9999-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "1.5s",
    "-315576000001s",
    "a.b,cD",
    "\u00ff",
  ],
];
const fieldValues: Readonly<Record<string, readonly string[]>> = {
  "content-type": [
    ...[
      "application/json",
      "application/x-ndjson",
      "application/merge-patch+json",
      "text/plain",
      "application/",
      "/",
      ";",
    ],
    ...[
      "application/json; charset=utf-16",
      'application/json; charset="utf-8',
      "application/grpc",
      "application/proto",
    ],
    ...["application/grpc-web-text", "application/connect+json", "multipart/form-data; boundary=a", "\u00ff"],
  ],
  accept: [
    "*/*",
    "text/event-stream",
    "application/json;q=0",
    "application/*;q=0.5, */*;q=0",
    ",",
    ";q",
    "a/b;q=9",
    "*",
  ],
  "accept-encoding": ["gzip", "identity;q=0", "*;q=0", "*", "identity;q=0, br", "gzip;q=", "zstd, br;q=0.1", ",,;"],
  "content-encoding": ["gzip", "br", "zstd", "deflate", "identity", "x-gzip", "gzip, gzip", "compress", ""],
  "if-none-match": ["*", '"a"', 'W/"a"', '"', 'W/"', ", ,", '"a", "b"'],
  "if-match": ["*", '"a"', 'W/"a"', '"'],
  "if-modified-since": ["Mon, 01 Jan 2024 00:00:00 GMT", "soon", ""],
  "if-unmodified-since": ["Mon, 01 Jan 1990 00:00:00 GMT", "soon"],
  "x-request-timeout-ms": ["1000", "", "-1", "1e9", "99999999999", "9999999999"],
  "last-event-id": ["1", "x", "-1", "\u00ff"],
  "idempotency-key": ["a", "", "\u00ff"],
  range: ["bytes=0-1", "bytes=-", "x"],
  origin: ["https://example.com", "null"],
  cookie: ["a=b", ";"],
  traceparent: ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"],
};
const jsonPieces = [
  ...[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "null",
    "true",
    "0",
    "-",
    "1e",
    "1e999",
    '"a"',
    "{}",
    "[]",
    "\\u0000",
    "\\ud800",
  ],
  ...[
    '"name":1',
    '"name":"a",',
    '"nested":{},',
    '"nesteds":[{}],',
    '"counts":{"a":1},',
    '"__proto__":{},',
    "\n",
    "\u00ff",
  ],
  ...[
    '"any":{"@type":"x"},',
    '"open":[],',
    '"left":"a","right":1,',
    '"item_number":-1,',
    '"e":99,',
    '"at":{},',
    "\ufeff",
  ],
];

/** Changes a request in one to four places. @param below a random whole number below its argument */
export function mutate(seed: FuzzRequest, below: (bound: number) => number): FuzzRequest {
  let { method, target, body } = seed;
  let fields = [...seed.fields];
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  for (let left = 1 + below(4); left > 0; left--) {
    switch (below(8)) {
      case 0:
        method = pick(methods);
        break;
      case 1:
      case 2: {
        const at = 1 + below(target.length);
        target = target.slice(0, at) + pick(targetPieces) + target.slice(at + below(3));
        break;
      }
      case 3:
      case 4:
        target += `${target.includes("?") ? "&" : "?"}${pick(parameterNames)}=${pick(values)}`;
        break;
      case 5: {
        const name = pick(Object.keys(fieldValues));
        if (below(2) === 0) fields = fields.filter(field => field[0] !== name);
        fields.push([name, pick(fieldValues[name] ?? [""])]);
        break;
      }
      case 6:
        body = mutateBody(body ?? Buffer.from("{}"), below, pick);
        break;
      default:
        body = compressed(body ?? Buffer.from("{}"), below, name => fields.push(["content-encoding", name]));
    }
  }
  return { method, target: target.replaceAll(/[ \r\n]/g, "%20"), fields, body };
}

function mutateBody(body: Buffer, below: (bound: number) => number, pick: <T>(list: readonly T[]) => T): Buffer {
  const at = below(body.length + 1);
  switch (below(5)) {
    case 0:
      return body.subarray(0, at);
    case 1: {
      const changed = Buffer.from(body);
      if (at < changed.length) changed[at] = below(256);
      return changed;
    }
    case 2:
      return Buffer.concat([Buffer.alloc(1 + below(300), pick(["[", '{"a":', '{"again":', " ", "\n"])), body]);
    case 3:
      return Buffer.concat([body, body]);
    default:
      return Buffer.concat([body.subarray(0, at), Buffer.from(pick(jsonPieces)), body.subarray(at + below(2))]);
  }
}

const codings = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync };

function compressed(body: Buffer, below: (bound: number) => number, named: (coding: string) => void): Buffer {
  const [name, compress] = Object.entries(codings)[below(4)] as [string, (bytes: Buffer) => Buffer];
  named(name);
  const bytes = compress(body);
  return below(3) === 0 ? bytes.subarray(0, below(bytes.length + 1)) : bytes;
}
