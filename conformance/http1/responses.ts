import { type ResponseCase, type ResponseVerdict, shownByte } from "./case.ts";

const cases: ResponseCase[] = [];

interface Extras {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly ends?: boolean;
  readonly stricterOracles?: string;
}

function row(section: string, name: string, bytes: string, verdict: ResponseVerdict, extras: Extras = {}): void {
  const { method = "GET", ends = false, stricterOracles } = extras;
  const base = { section, name, method, bytes, ends, verdict };
  cases.push(stricterOracles === undefined ? base : { ...base, stricterOracles });
}

const ok = (lines: string, body = ""): string => `HTTP/1.1 200 OK\r\n${lines}\r\n${body}`;
const chunked = (body: string): string => ok("Transfer-Encoding: chunked\r\n", body);

row("4", "a body of known length", ok("Content-Length: 5\r\n", "hello"), "200 [hello]");
row("4", "an empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 []");
row("4", "a reason with obs-text and tabs", "HTTP/1.1 200 \xe9\ta\r\nContent-Length: 0\r\n\r\n", "200 []");
row("4", "an unknown status", "HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n", "299 []");
row("4", "no space behind the status", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "refused");
for (const status of ["600", "999"]) {
  row("4", `status ${status}`, `HTTP/1.1 ${status} OK\r\nContent-Length: 0\r\n\r\n`, `${Number(status)} []`);
}
for (const status of ["20", "2000", "099", "2x0", " 200", "+20", "-20"]) {
  row("4", `status ${JSON.stringify(status)}`, `HTTP/1.1 ${status} OK\r\nContent-Length: 0\r\n\r\n`, "refused");
}
for (const version of ["HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.2", "HTTP/11", "ICY", "HTTP/1.1\t"]) {
  row("2.3", `version ${JSON.stringify(version)}`, `${version} 200 OK\r\nContent-Length: 0\r\n\r\n`, "refused");
}
row("2.2", "bare LF line ends", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "refused");
row("2.2", "an empty line before the status line", `\r\n${ok("Content-Length: 0\r\n")}`, "refused");
row("2.2", "a bare CR in a value", ok("X: a\rb\r\nContent-Length: 0\r\n"), "refused");
row("4", "a NUL in the reason", "HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", "refused");
row("5.1", "a space before the colon", ok("X : y\r\nContent-Length: 0\r\n"), "refused");
row("5.1", "a space before the colon of Content-Length", ok("Content-Length : 5\r\n", "hello"), "refused");
row("5.2", "a folded field", ok("X: a\r\n b\r\nContent-Length: 0\r\n"), "refused");
for (const code of [0x00, 0x0b, 0x1f, 0x7f]) {
  row(
    "RFC 9110, 5.5",
    `${shownByte(code)} in a value`,
    ok(`X: a${String.fromCharCode(code)}b\r\nContent-Length: 0\r\n`),
    "refused",
  );
}
row("6.3", "two different lengths", ok("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), "refused");
row("6.3", "two equal lengths", ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "refused");
for (const length of ["+5", "-5", "5, 5", "0x5", "", "5 5", "99999999999999999999"]) {
  row("6.3", `Content-Length ${JSON.stringify(length)}`, ok(`Content-Length: ${length}\r\n`, "hello"), "refused");
}
row("6.3", "both framings", ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "refused");
row(
  "6.3",
  "both framings, the other way around",
  ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
  "refused",
);
row("6.3", "HEAD has no body", ok("Content-Length: 5\r\n"), "200 []", { method: "HEAD" });
row("6.3", "HEAD with chunked has no body", ok("Transfer-Encoding: chunked\r\n"), "200 []", { method: "HEAD" });
row("6.3", "204 has no body", "HTTP/1.1 204 No Content\r\n\r\n", "204 []");
row("6.3", "304 has no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 []");
row("6.3", "a body until the end of the connection", ok("", "hello"), "200 [hello]", { ends: true });
row("6.3", "an empty body until the end", ok(""), "200 []", { ends: true });
row("8", "a body that is cut", ok("Content-Length: 5\r\n", "hel"), "refused", { ends: true });
row("8", "a chunked body that is cut", chunked("5\r\nhel"), "refused", { ends: true });
row("8", "a chunked body without last chunk", chunked("5\r\nhello\r\n"), "refused", { ends: true });
row("8", "a head that is cut", "HTTP/1.1 200 OK\r\nContent-", "refused", { ends: true });
row("8", "no answer at all", "", "refused", { ends: true });
row("7.1", "a chunked body", chunked("5\r\nhello\r\n0\r\n\r\n"), "200 [hello]");
row("7.1", "a chunked body with trailers", chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), "200 [hello]");
row("7.1", "a chunk size that is none", chunked("x\r\nhello\r\n0\r\n\r\n"), "refused");
row("7.1", "a chunk size that overflows", chunked("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "refused");
row("7.1", "a chunk that ends in a bare LF", chunked("5\r\nhello\n0\r\n\r\n"), "refused");
row("7.1", "a size line that ends in a bare LF", chunked("5\nhello\r\n0\r\n\r\n"), "refused");
for (const coding of ["gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", "identity", "xchunked"]) {
  row("6.1", `Transfer-Encoding ${coding}`, ok(`Transfer-Encoding: ${coding}\r\n`, "0\r\n\r\n"), "refused", {
    ends: true,
  });
}
row(
  "6.1",
  "Transfer-Encoding with HTTP/1.0",
  "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "refused",
  { ends: true },
);
row("9.3", "HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 [hello]");
row(
  "RFC 9110, 15.2",
  "100 before the answer",
  `HTTP/1.1 100 Continue\r\n\r\n${ok("Content-Length: 2\r\n", "ok")}`,
  "200 [ok]",
  { method: "POST" },
);
row(
  "RFC 9110, 15.2",
  "103 with fields before the answer",
  `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${ok("Content-Length: 2\r\n", "ok")}`,
  "200 [ok]",
);
row(
  "RFC 9110, 15.2.2",
  "101 that nobody asked for",
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
  "refused",
);
row("5.4", "fields of 17 KiB", ok(`X: ${"y".repeat(17_408)}\r\n`), "refused");
row("2.1", "a request instead of an answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "refused");

export const responseCases: readonly ResponseCase[] = cases;
