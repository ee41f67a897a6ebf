import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { build } from "esbuild";
import { createServer } from "trunkline";
import { connectServices } from "trunkline/connect";

/**
 * The move from connect-es, on its own documented example: the code blocks come from the README of the installed
 * `@connectrpc/connect-node` when the test runs. Besides the two lines only the port is another, because 8080 may be taken.
 */
const root = join(import.meta.dirname, "../..");
const readme = readFileSync(join(root, "node_modules/@connectrpc/connect-node/README.md"), "utf8");

/** The README's block of TypeScript that has `text`. */
function block(text: string): string {
  const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? "");
  const found = blocks.find(code => code.includes(text));
  assert(found !== undefined, `the README of @connectrpc/connect-node has no block of TypeScript with ${text}`);
  return found;
}

/** Replaces whole lines. Each must be there exactly once. */
function withLines(code: string, replacements: Readonly<Record<string, string>>): string {
  let changed = code;
  for (const [line, replacement] of Object.entries(replacements)) {
    assert.equal(changed.split("\n").filter(one => one === line).length, 1, `the line ${line}`);
    changed = changed.replace(`${line}\n`, `${replacement}\n`);
  }
  return changed;
}

let folder = "";

/** Bundled as an application would be: the README's imports have no extensions. */
async function bundle(name: string, code: string): Promise<string> {
  const entry = join(folder, `${name}.ts`);
  const outfile = join(folder, `${name}.mjs`);
  writeFileSync(entry, code);
  await build({ entryPoints: [entry], outfile, bundle: true, format: "esm", platform: "node", packages: "external" });
  return outfile;
}

/** What a program prints; it must end by itself. */
async function run(program: string): Promise<string> {
  const child = spawn(process.execPath, ["--conditions=trunkline-source", program], { cwd: root });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", chunk => {
      output += chunk;
    });
  }
  const code = await new Promise(resolve => child.on("close", resolve));
  assert.equal(code, 0, output);
  return output.trim();
}

const client = block('from "@connectrpc/connect-node";');
const movedClient = withLines(client, {
  'import { createGrpcTransport } from "@connectrpc/connect-node";':
    'import { createTransport } from "trunkline/connect";',
  "const transport = createGrpcTransport({": "const transport = createTransport({",
});

describe("the example of connect-es's documentation", () => {
  let routes: (router: ConnectRouter) => void;

  before(async () => {
    mkdirSync(join(root, ".build"), { recursive: true });
    folder = mkdtempSync(join(root, ".build/readme-"));
    mkdirSync(join(folder, "gen"));
    const generated = join(root, "test/gen/eliza/v1/eliza_pb.ts");
    writeFileSync(join(folder, "gen/eliza_pb.ts"), `export * from ${JSON.stringify(generated)};\n`);
    const file = await bundle("connect", block("export default function (router: ConnectRouter)"));
    routes = (await import(pathToFileURL(file).href)).default;
  });
  after(() => rmSync(folder, { recursive: true }));

  async function printed(code: string, port: number): Promise<string> {
    return run(await bundle(`client-${port}`, code.replaceAll("localhost:8080", `localhost:${port}`)));
  }

  test("its client and its routes work with our transport and our server", async () => {
    const server = createServer({ services: connectServices(routes) });
    const { port } = await server.listen({ port: 0 });
    after(() => server.close());
    assert.equal(await printed(movedClient, port), "you said: I feel happy.");
  });

  test("its client, as it is, is served by our server with its routes", async () => {
    const server = createServer({ services: connectServices(routes) });
    const { port } = await server.listen({ port: 0 });
    after(() => server.close());
    assert.equal(await printed(client, port), "you said: I feel happy.");
  });

  test("its client with our transport is served by its server", async () => {
    const server = createHttp2Server(connectNodeAdapter({ routes }));
    await new Promise<void>(resolve => {
      server.listen(0, resolve);
    });
    after(() => server.close());
    assert.equal(await printed(movedClient, (server.address() as AddressInfo).port), "you said: I feel happy.");
  });
});
