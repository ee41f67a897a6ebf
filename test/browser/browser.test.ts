import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { build } from "esbuild";
import { createServer, type ServerOptions } from "trunkline";
import { connectServices } from "trunkline/connect";
import { makeCertificates } from "../certificates.ts";
import routes from "../connect-es/eliza.ts";
import { provisioned } from "../provisioned.ts";
import { Chromium } from "./chromium.ts";
import type { Verdict } from "./verdict.ts";

/** The page calls from another origin; its verdicts come back by the `fetch` handler of its own. */
const pageTimeoutMs = 60_000;

const metadata = { sentence: "you said: é", head: "heard from a page", tail: "one, two" };
const sentences = ["page 0", "page 1", "page 2"];
const misunderstanding = (sentence: string) => ({
  code: "FailedPrecondition",
  message: `"${sentence}" is 50 % größer`,
  why: "because",
  times: 3,
});

const expected: Readonly<Record<string, unknown>> = {
  ...Object.fromEntries(
    ["Connect", "Connect, binary", "Connect with GET", "gRPC-Web"].flatMap(title => [
      [`${title}: unary with metadata both ways`, metadata],
      [`${title}: server stream`, sentences],
      [`${title}: error with details`, misunderstanding("fail")],
      [`${title}: error in a stream`, misunderstanding("fail")],
      [`${title}: deadline`, "DeadlineExceeded"],
    ]),
  ),
  "fetch of a REST route": { status: 200, body: { sentence: "you said: hello" }, head: "heard fetch" },
  "fetch of a REST problem": {
    status: 400,
    type: "application/problem+json",
    code: "failed_precondition",
    detail: '"fail" is 50 % größer',
  },
  "EventSource of a stream": sentences.map((sentence, index) => [String(index + 1), { sentence }]),
};

interface Seen {
  readonly verdicts: readonly Verdict[];
  /** What ALPN chose for the connections of the calls. */
  readonly alpn: ReadonlySet<string | undefined>;
}

async function show(chromium: string, tls?: ServerOptions["tls"]): Promise<Seen> {
  const told = Promise.withResolvers<Verdict[]>();
  const alpn = new Set<string | undefined>();
  let script = "";
  await using pageServer = createServer({
    services: [],
    fetch: async request => {
      switch (new URL(request.url).pathname) {
        case "/page.js":
          return new Response(script, { headers: { "content-type": "text/javascript; charset=utf-8" } });
        case "/verdicts":
          told.resolve((await request.json()) as Verdict[]);
          return new Response();
        case "/":
          return new Response('<!doctype html><script type="module" src="/page.js"></script>', {
            headers: { "content-type": "text/html; charset=utf-8" },
          });
        default:
          return new Response(null, { status: 404 });
      }
    },
  });
  const page = await pageServer.listen({ port: 0, host: "127.0.0.1" });
  const pageUrl = `http://127.0.0.1:${page.port}`;
  await using apiServer = createServer({
    services: connectServices(routes),
    cors: { origins: [pageUrl] },
    tls,
    interceptors: [
      (call, next) => {
        alpn.add(call.peer.tls?.alpn);
        return next();
      },
    ],
  });
  const api = await apiServer.listen({ port: 0, host: "127.0.0.1" });
  const apiUrl = `${tls === undefined ? "http" : "https"}://127.0.0.1:${api.port}`;
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "page.ts")],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    define: { apiUrl: JSON.stringify(apiUrl) },
  });
  script = outputFiles[0]?.text ?? "";
  await using browser = new Chromium(chromium, pageUrl);
  const late = new Promise<never>((_resolve, reject) => {
    setTimeout(
      () => reject(new Error(`no verdict within ${pageTimeoutMs} ms; Chromium said:\n${browser.output}`)),
      pageTimeoutMs,
    ).unref();
  });
  return { verdicts: await Promise.race([told.promise, browser.untilEnded(), late]), alpn };
}

const chromium = provisioned("chromium");
const skip = "reason" in chromium && process.env["CI"] !== "true" ? chromium.reason : false;
const variants = [
  ["HTTP/1.1 without TLS", undefined, async () => undefined],
  ["HTTP/2 with TLS", "h2", async () => (await makeCertificates()).server],
] as const;

for (const [title, alpn, tlsOf] of variants) {
  describe(`pages in Chromium call over ${title}`, { skip }, () => {
    let seen: Seen = { verdicts: [], alpn: new Set() };
    before(async () => {
      assert("path" in chromium, "reason" in chromium ? chromium.reason : "");
      seen = await show(chromium.path, await tlsOf());
    });
    test("the browser chose this protocol", () => {
      assert.deepEqual([...seen.alpn], [alpn]);
    });
    for (const [name, result] of Object.entries(expected)) {
      test(name, () => {
        const verdict = seen.verdicts.find(one => one.name === name);
        assert.deepEqual(verdict, { name, result });
      });
    }
  });
}
