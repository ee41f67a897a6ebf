import { type RequestCase, type RequestVerdict, shownByte } from "./case.ts";

const cases: RequestCase[] = [];

function row(section: string, name: string, bytes: string, verdict: RequestVerdict, stricterOracles?: string): void {
  cases.push(
    stricterOracles === undefined
      ? { section, name, bytes, verdict }
      : { section, name, bytes, verdict, stricterOracles },
  );
}

/** A GET with these field lines behind Host. */
const get = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
/** A POST with these field lines and this body. */
const post = (lines: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`;
const chunked = (body: string): string => post("Transfer-Encoding: chunked\r\n", body);
const next = "GET /next HTTP/1.1\r\nHost: b\r\n\r\n";
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const seen = "GET a / []";
const seenNext = "GET b /next []";

// First line
row("3", "a plain GET", get(""), [seen]);
row("3", "a query", "GET /a?b=c&d HTTP/1.1\r\nHost: a\r\n\r\n", ["GET a /a?b=c&d []"]);
row("3", "percent escapes stay as sent", "GET /%41%2f HTTP/1.1\r\nHost: a\r\n\r\n", ["GET a /%41%2f []"]);
row("3", "two slashes at the start are a path", "GET //x/y HTTP/1.1\r\nHost: a\r\n\r\n", ["GET a //x/y []"]);
row(
  "3.1",
  "methods are case-sensitive tokens",
  "get / HTTP/1.1\r\nHost: a\r\n\r\n",
  ["get a / []"],
  "knows a list of methods",
);
row(
  "3.1",
  "an unknown method is for the application",
  "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
  ["BREW a / []"],
  "knows a list of methods",
);
row("3.1", "PUT without a body", "PUT / HTTP/1.1\r\nHost: a\r\n\r\n", ["PUT a / []"]);
row("3.1", "DELETE with a body", "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", ["DELETE a / [ab]"]);
row("3.1", "a method of 40 characters", `${"M".repeat(40)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 501);
row("3.1", "an empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
for (const code of [0x00, 0x09, 0x22, 0x28, 0x2c, 0x2f, 0x3a, 0x40, 0x5b, 0x7f, 0x80]) {
  row("3.1", `${shownByte(code)} in a method`, `GE${String.fromCharCode(code)}T / HTTP/1.1\r\nHost: a\r\n\r\n`, 400);
}
row("3", "two spaces behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3", "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3", "a tab behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3", "a tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3", "a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400);
row("3", "no version (HTTP/0.9)", "GET /\r\n\r\n", 400);
row("3", "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("2.2", "one empty line before the request", `\r\n${get("")}`, [seen]);
row("2.2", "one empty line between requests", `${get("")}\r\n${next}`, [seen, seenNext]);
row("2.2", "a bare LF before the request", `\n${get("")}`, 400);
row("2.2", "a bare CR before the request", `\r${get("")}`, 400);
row("2.2", "white space before the request", ` ${get("")}`, 400);
row("2.2", "the first line ends in a bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
row("2.2", "the first line ends in a bare CR", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400);
row("2.2", "the first line ends in CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400);
row("2.2", "white space between first line and fields", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
row("2.2", "all lines end in bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400);
row("2.3", "HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", [seen]);
row("2.3", "HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", ["GET  / []"]);
for (const version of ["HTTP/2.0", "HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"]) {
  row("2.3", `version ${version}`, `GET / ${version}\r\nHost: a\r\n\r\n`, 505);
}
for (const version of [
  "http/1.1",
  "HTTP/1,1",
  "HTTP/11",
  "HTTP/ 1.1",
  "HTTPS/1.1",
  "HTTP/1",
  "HTTP/x.1",
  "HTP/1.1",
  "HTTP/1.",
  "HTTP/+1.1",
]) {
  row("2.3", `version ${version}`, `GET / ${version}\r\nHost: a\r\n\r\n`, 400);
}
row("2.3", "version HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400);
row("2.3", "version HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400);

// Targets
row("3.2.1", "a target without a slash", "GET index HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3.2.1", "a target of only a query", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3.2.2", "an absolute target", "GET http://b/x HTTP/1.1\r\nHost: b\r\n\r\n", ["GET b /x []"]);
row("3.2.2", "the authority of an absolute target replaces Host", "GET http://b:81/x HTTP/1.1\r\nHost: a\r\n\r\n", [
  "GET b:81 /x []",
]);
row("3.2.2", "an absolute target without path", "GET http://b HTTP/1.1\r\nHost: b\r\n\r\n", ["GET b / []"]);
row("3.2.2", "an absolute target without path, with query", "GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n", [
  "GET b /?q []",
]);
row("3.2.2", "https absolute, scheme in capitals", "GET HTTPS://b/ HTTP/1.1\r\nHost: b\r\n\r\n", ["GET b / []"]);
row("3.2.2", "an absolute target without host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3.2.2", "an absolute target with user information", "GET http://u@b/x HTTP/1.1\r\nHost: b\r\n\r\n", 400);
row("3.2.2", "an absolute target of another scheme", "GET ftp://b/x HTTP/1.1\r\nHost: b\r\n\r\n", 400);
row("3.2.2", "an absolute target still needs Host", "GET http://b/x HTTP/1.1\r\n\r\n", 400);
row("3.2.2", "an absolute target with a bad port", "GET http://b:99999/x HTTP/1.1\r\nHost: b\r\n\r\n", 400);
row("3.2.3", "CONNECT is not implemented", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", 501);
row("3.2.3", "an authority as the target of GET", "GET b:443 HTTP/1.1\r\nHost: b\r\n\r\n", 400);
row("3.2.4", "OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ["OPTIONS a * []"]);
row("3.2.4", "GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3.2.4", "OPTIONS of an absolute target without path is *", "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", [
  "OPTIONS b * []",
]);
for (const code of [0x00, 0x01, 0x0b, 0x0c, 0x1f, 0x22, 0x23, 0x3c, 0x3e, 0x7f, 0x80, 0xe9, 0xff]) {
  row("3.2", `${shownByte(code)} in a target`, `GET /a${String.fromCharCode(code)}b HTTP/1.1\r\nHost: a\r\n\r\n`, 400);
}
row("3.2", "a bare CR in a target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400);
row("3.2", "brackets and bars, as browsers send them", "GET /?a[b]={c}|d HTTP/1.1\r\nHost: a\r\n\r\n", [
  "GET a /?a[b]={c}|d []",
]);
row("3", "a target of 9000 bytes", `GET /${"a".repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414);
row("3", "a target of 8000 bytes", `GET /${"a".repeat(7999)} HTTP/1.1\r\nHost: a\r\n\r\n`, [
  `GET a /${"a".repeat(7999)} []`,
]);

// Host
row("3.2", "no Host", "GET / HTTP/1.1\r\n\r\n", 400);
row("3.2", "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
row("3.2", "two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
row("3.2", "two Hosts with HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400);
for (const host of [
  "a:8080",
  "a.b-c_d.example",
  "127.0.0.1",
  "127.0.0.1:80",
  "[::1]",
  "[::1]:8080",
  "[2001:db8::1.2.3.4]",
  "a%2db",
  "a:",
  "A.Example",
]) {
  row("RFC 9110, 7.2", `Host ${host}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, [`GET ${host} / []`]);
}
for (const host of [
  "",
  "a b",
  "a/b",
  "a@b",
  "a:b",
  "a:80:80",
  "a:99999",
  "a:-1",
  "[::1",
  "::1",
  "[::1]a",
  "[g::1]",
  "[1:2:3]",
  "[]",
  "a?b",
  "a#b",
  "a\\b",
  '"a"',
  "a%zz",
  "a\tb",
  "\xe9",
  "<a>",
  "a|b",
  "http://a",
  ":80",
]) {
  row("RFC 9110, 7.2", `Host ${JSON.stringify(host)}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400);
}

// Fields
row("5", "no white space behind the colon", get("X:y\r\n"), [seen]);
row("5", "tabs and spaces around a value", get("X: \t y \t \r\n"), [seen]);
row("5", "an empty value", get("X:\r\n"), [seen]);
row("RFC 9110, 5.5", "obs-text in a value", get("X: \xe9\xff\r\n"), [seen]);
row("RFC 9110, 5.5", "a tab inside a value", get("X: a\tb\r\n"), [seen]);
row("5.1", "a space before the colon", get("X : y\r\n"), 400);
row("5.1", "a tab before the colon", get("X\t: y\r\n"), 400);
row("5.1", "a space before the colon of Content-Length", post("Content-Length : 5\r\n", "hello"), 400);
row("5.1", "a space before the colon of Transfer-Encoding", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400);
row("5.1", "no colon", get("Xy\r\n"), 400);
row("5.1", "an empty name", get(": y\r\n"), 400);
row("5.2", "folding with a space", get("X: a\r\n b\r\n"), 400);
row("5.2", "folding with a tab", get("X: a\r\n\tb\r\n"), 400);
row("5.2", "folding of Transfer-Encoding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400);
row("5.2", "folding of Content-Length", post("Content-Length: 1\r\n 0\r\n", "0123456789"), 400);
for (const code of [
  0x00, 0x01, 0x09, 0x20, 0x22, 0x28, 0x29, 0x2c, 0x2f, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x5b, 0x5c, 0x5d, 0x7b,
  0x7d, 0x7f, 0x80, 0xff,
]) {
  row("RFC 9110, 5.1", `${shownByte(code)} in a name`, get(`X${String.fromCharCode(code)}y: z\r\n`), 400);
}
row("RFC 9110, 5.6.2", "every token character in a name", get("!#$%&'*+-.^_`|~09azAZ: y\r\n"), [seen]);
for (const code of [0x00, 0x01, 0x07, 0x08, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f]) {
  row("RFC 9110, 5.5", `${shownByte(code)} in a value`, get(`X: a${String.fromCharCode(code)}b\r\n`), 400);
}
row("2.2", "a bare CR in a value", get("X: a\rb\r\n"), 400);
row("2.2", "a bare LF ends a field line", get("X: a\nY: b\r\n"), 400);
row(
  "2.2",
  "a bare LF hides Transfer-Encoding",
  post("X: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
  400,
);
row("2.2", "a bare CR hides Transfer-Encoding", post("X: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400);
row("2.2", "CR CR LF ends a field line", get("X: a\r\r\n"), 400);
row("2.2", "the head ends in LF LF", "GET / HTTP/1.1\r\nHost: a\n\n", 400);
row("2.2", "the empty line is a bare LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
row("2.2", "the empty line is a bare CR", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400);
row("5.4", "200 fields", get("x: y\r\n".repeat(200)), 431);
row("5.4", "a field of 17 KiB", get(`X: ${"y".repeat(17_408)}\r\n`), 431);
row("5.4", "a field of 8 KiB", get(`X: ${"y".repeat(8192)}\r\n`), [seen]);

// Content-Length
row("6.2", "a body of known length", post("Content-Length: 5\r\n", "hello"), ["POST a / [hello]"]);
row("6.2", "a body of length 0", post("Content-Length: 0\r\n", next), ["POST a / []", seenNext]);
row("6.2", "leading zeros", post("Content-Length: 005\r\n", "hello"), ["POST a / [hello]"]);
row("6.2", "a GET with a body", `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello${next}`, [
  "GET a / [hello]",
  seenNext,
]);
row("6.2", "a body that looks like a request", post(`Content-Length: ${smuggled.length}\r\n`, smuggled), [
  `POST a / [${smuggled}]`,
]);
row("6.2", "white space around the length", post("Content-Length: \t5 \r\n", "hello"), ["POST a / [hello]"]);
row("6.3", "a POST without framing has no body", `POST / HTTP/1.1\r\nHost: a\r\n\r\n${next}`, [
  "POST a / []",
  seenNext,
]);
for (const length of [
  "+5",
  "-5",
  "5 ",
  "0x5",
  "5.0",
  "5e0",
  "",
  "five",
  "5, 5",
  "5,5",
  "5;5",
  "5 5",
  "\xb5",
  "٥",
  "5_0",
  "'5'",
  '"5"',
  "5\t5",
  ",5",
  "5,",
]) {
  if (length === "5 ") continue;
  row(
    "6.3",
    `Content-Length ${JSON.stringify(length)}`,
    post(`Content-Length: ${Buffer.from(length).toString("latin1")}\r\n`, "hello"),
    400,
  );
}
row("6.3", "two different lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), 400);
row("6.3", "two equal lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400);
row("6.3", "a length of 20 digits", post("Content-Length: 99999999999999999999\r\n", "x"), 413);
row("6.3", "a length beyond 64 bits that wraps to 5", post("Content-Length: 18446744073709551621\r\n", "hello"), 413);
row("6.3", "smuggling: CL.CL", post(`Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n`, smuggled), 400);
row("6.3", "smuggling: CL.0 with a sign", post("Content-Length: +0\r\n", smuggled), 400);

// Transfer-Encoding
row("7.1", "a chunked body", chunked("5\r\nhello\r\n0\r\n\r\n"), ["POST a / [hello]"]);
row("7.1", "two chunks", chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), ["POST a / [hello world]"]);
row("7.1", "an empty chunked body", chunked("0\r\n\r\n"), ["POST a / []"]);
row("7.1", "a chunked body, then a request", chunked(`1\r\nx\r\n0\r\n\r\n${next}`), ["POST a / [x]", seenNext]);
row("7.1", "sizes in capitals and small letters", chunked(`A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n`), [
  "POST a / [01234567890123456789]",
]);
row("7.1", "leading zeros in a size", chunked("0005\r\nhello\r\n000\r\n\r\n"), ["POST a / [hello]"]);
row("7.1", "a chunk that holds CRLF and a last chunk", chunked("7\r\n0\r\n\r\nx!\r\n0\r\n\r\n"), [
  "POST a / [0\r\n\r\nx!]",
]);
row("7", "Transfer-Encoding in capitals", post("Transfer-Encoding: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"), [
  "POST a / [x]",
]);
for (const coding of ["gzip, chunked", "deflate,chunked", "identity, chunked"]) {
  row("6.1", `Transfer-Encoding ${coding}`, post(`Transfer-Encoding: ${coding}\r\n`, "0\r\n\r\n"), 501);
}
for (const coding of [
  "",
  "gzip",
  "identity",
  "chunked, gzip",
  "chunked, chunked",
  "chunked,",
  ", chunked",
  "xchunked",
  "chunked;q=1",
  '"chunked"',
  "chunkedx",
  "chunk",
  "\x0bchunked",
  "chunked\x0b",
  "chunked\x00",
  "chunked identity",
  "'chunked'",
  "chunked\x80",
  "\xa0chunked",
]) {
  row("6.1", `Transfer-Encoding ${JSON.stringify(coding)}`, post(`Transfer-Encoding: ${coding}\r\n`, "0\r\n\r\n"), 400);
}
row(
  "6.1",
  "two Transfer-Encodings",
  post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
  400,
);
row(
  "6.1",
  "two Transfer-Encodings, one unknown",
  post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"),
  400,
);
row(
  "6.1",
  "two Transfer-Encodings, identity first",
  post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
  400,
);
row(
  "6.1",
  "Transfer-Encoding with HTTP/1.0",
  "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  400,
);
row(
  "6.1",
  "Transfer-Encoding with HTTP/1.0, kept alive",
  `POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${next}`,
  400,
);
row("6.3", "smuggling: CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\nG${next}`), 400);
row(
  "6.3",
  "smuggling: TE.CL",
  post(
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
  ),
  400,
);
row(
  "6.3",
  "smuggling: TE.TE with an obscured one",
  post("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", `5\r\nhello\r\n0\r\n\r\n`),
  400,
);
row(
  "6.3",
  "smuggling: both framings, length 0",
  post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${next}`),
  400,
);
row(
  "6.3",
  "smuggling: Transfer_Encoding is another field",
  post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
  ["POST a / [hello]"],
);
row(
  "6.3",
  "smuggling: a prefixed X-Transfer-Encoding is another field",
  post("X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
  ["POST a / [hello]"],
);
row(
  "6.3",
  "smuggling: Content-Length named in Connection still frames",
  post("Connection: content-length\r\nContent-Length: 5\r\n", `hello${next}`),
  ["POST a / [hello]", seenNext],
);
row(
  "6.3",
  "smuggling: a folded second coding",
  post("Transfer-Encoding: chunked\r\n , identity\r\n", "0\r\n\r\n"),
  400,
);

// Chunks
for (const size of [
  "",
  "g",
  "-5",
  "+5",
  "0x5",
  " 5",
  "5 ",
  "\t5",
  "5\t",
  "5g",
  "5.",
  "5,5",
  "\x00",
  "5\x00",
  "ffffffffffffffff5",
  "fffffffffffffffff",
  "10000000000000005",
  "20000000000000",
]) {
  row("7.1", `chunk size ${JSON.stringify(size)}`, chunked(`${size}\r\nhello\r\n0\r\n\r\n`), 400);
}
row("7.1", "a size line that ends in a bare LF", chunked("5\nhello\r\n0\r\n\r\n"), 400);
row("7.1", "a size line that ends in a bare CR", chunked("5\rhello\r\n0\r\n\r\n"), 400);
row("7.1", "a size line that ends in CR and another byte", chunked("5\rXhello\r\n0\r\n\r\n"), 400);
row("7.1", "chunk data that ends in a bare LF", chunked("5\r\nhello\n0\r\n\r\n"), 400);
row("7.1", "chunk data that ends in two other bytes", chunked("5\r\nhelloXX0\r\n\r\n"), 400);
row("7.1", "chunk data that is longer than its size", chunked("4\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1", "a last chunk that ends in bare LF", chunked("0\n\n"), 400);
row("7.1", "a last chunk whose empty line is a bare LF", chunked("0\r\n\n"), 400);
row("7.1.1", "an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), ["POST a / [hello]"]);
row("7.1.1", "an extension without value", chunked("5;a\r\nhello\r\n0;z\r\n\r\n"), ["POST a / [hello]"]);
row("7.1.1", "a quoted extension", chunked('5;a="b;\\"c"\r\nhello\r\n0\r\n\r\n'), ["POST a / [hello]"]);
row("7.1.1", "several extensions", chunked('5;a=b;c;d="e"\r\nhello\r\n0\r\n\r\n'), ["POST a / [hello]"]);
row("7.1.1", "an extension with a bare LF", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1.1", "an extension with a bare CR", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1.1", "an extension with a NUL", chunked("5;a\x00b\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1.1", "a quoted extension with CRLF", chunked('5;a="\r\n"\r\nhello\r\n0\r\n\r\n'), 400);
row("7.1.1", "an empty extension", chunked("5;\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1.1", "an extension with an empty value", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), 400);
row("7.1.1", "extensions of 5000 bytes", chunked(`5;${"a".repeat(5000)}\r\nhello\r\n0\r\n\r\n`), 400);
row(
  "7.1.1",
  "smuggling: an extension that ends in bare LF",
  chunked(`2;\nxx\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`),
  400,
);
row("7.1.2", "trailers", chunked("1\r\nx\r\n0\r\nDigest: abc\r\nT2:  v \r\n\r\n"), ["POST a / [x] +digest=abc +t2=v"]);
row("7.1.2", "trailers, then a request", chunked(`0\r\nA: b\r\n\r\n${next}`), ["POST a / [] +a=b", seenNext]);
row("7.1.2", "a trailer with a space before its colon", chunked("0\r\nA : b\r\n\r\n"), 400);
row("7.1.2", "a folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400);
row("7.1.2", "a trailer that ends in bare LF", chunked("0\r\nA: b\n\r\n"), 400);
row("7.1.2", "trailers of 9 KiB", chunked(`0\r\nA: ${"b".repeat(9216)}\r\n\r\n`), 431);
for (const name of ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: b", "Connection: close"]) {
  row("RFC 9110, 6.5.1", `${name} in trailers`, chunked(`0\r\n${name}\r\n\r\n`), 400);
}
row("7.1", "smuggling: a last chunk of many zeros, then a request", chunked(`0000000000000000\r\n\r\n${next}`), [
  "POST a / []",
  seenNext,
]);
row("7.1", "smuggling: a last chunk of 17 zeros", chunked(`00000000000000000\r\n\r\n${next}`), 400);

// Connection, pipelining, expectations, upgrades
row("9.3.2", "three pipelined requests", `${get("")}${next}${get("")}`, [seen, seenNext, seen]);
row(
  "9.6",
  "nothing is read behind Connection: close",
  `${get("Connection: close\r\n")}${next}`,
  [seen],
  "answers what comes behind the last request with 400",
);
row(
  "9.6",
  "close in a list of options",
  `${get("Connection: x, Close\r\n")}${next}`,
  [seen],
  "answers what comes behind the last request with 400",
);
row(
  "9.6",
  "close in a second Connection field",
  `${get("Connection: x\r\nConnection: close\r\n")}${next}`,
  [seen],
  "answers what comes behind the last request with 400",
);
row(
  "9.3",
  "HTTP/1.0 ends after one request",
  `GET / HTTP/1.0\r\nHost: a\r\n\r\n${next}`,
  [seen],
  "answers what comes behind the last request with 400",
);
row("9.3", "HTTP/1.0 with keep-alive goes on", `GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n${next}`, [
  seen,
  seenNext,
]);
row(
  "RFC 9110, 10.1.1",
  "100-continue with the body behind it",
  post("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab"),
  ["POST a / [ab]"],
);
row("RFC 9110, 10.1.1", "another expectation", post("Expect: 200-ok\r\nContent-Length: 2\r\n", "ab"), 417);
row(
  "RFC 9110, 7.8",
  "Upgrade: h2c is ignored",
  get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"),
  [seen],
);
row("RFC 9110, 7.8", "Upgrade without Connection is ignored", get("Upgrade: websocket\r\n"), [seen]);
row("RFC 9110, 9.3.2", "HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", ["HEAD a / []"]);
row("2.1", "garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400);
row("2.1", "a response instead of a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400);

export const requestCases: readonly RequestCase[] = cases;
