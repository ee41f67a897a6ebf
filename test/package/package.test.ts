/**
 * The package as a user gets it: packed, installed outside of the checkout beside a contract of its own, generated from,
 * type-checked and run. What no import inside of the checkout can show: files that are missing, paths that lead to src/,
 * packages that only developers have.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { pack, stage, type Tarball } from "../../scripts/stage.ts";
import { checker, installCheckers, ownProgram, rootFolder, run } from "./programs.ts";

/** What the library itself needs of others, with all that they need. A further one wants a reason. */
const dependencies = [
  "@bufbuild/cel",
  "@bufbuild/cel-spec",
  "@bufbuild/protobuf",
  "@bufbuild/protovalidate",
  "@bufbuild/re2",
];
/** Half of it unpacked are source maps, which carry src/ so that stack traces are readable; a third is events with four brokers. */
const packedKiBMax = 2_000;
const unpackedKiBMax = 8_000;

const folder = mkdtempSync(join(tmpdir(), "trunkline-package-"));
const staged = join(folder, "staged");
const consumer = join(folder, "consumer");
const installed = join(consumer, "node_modules/trunkline");
const programs = dirname(ownProgram("buf"));
/** As after `npm install --save-dev @bufbuild/buf @bufbuild/protoc-gen-es`, which takes longer than all the rest. */
const withPrograms = { PATH: `${programs}:${process.env.PATH}`, NODE_PATH: "" };
let packed: Tarball;

before(async () => {
  const checkers = installCheckers();
  stage(staged);
  packed = pack(staged, folder);
  cpSync(join(rootFolder, "test/package/consumer"), consumer, { recursive: true });
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  const { devDependencies } = JSON.parse(readFileSync(join(rootFolder, "package.json"), "utf8"));
  const packages = [join(folder, packed.filename), `@types/node@${devDependencies["@types/node"]}`];
  const options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run(consumer, "npm", ["install", ...options, ...packages]);
  await run(consumer, process.execPath, [join(consumer, "node_modules/.bin/trunkline"), "generate"], withPrograms);
  await checkers;
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("what is installed is the package and what it needs at run time, within bounds", (t: TestContext) => {
  const names = Object.keys(
    JSON.parse(readFileSync(join(consumer, "node_modules/.package-lock.json"), "utf8")).packages,
  ).map(path => path.slice("node_modules/".length));
  const own = names.filter(name => name !== "trunkline" && name !== "@types/node" && name !== "undici-types");
  assert.deepEqual(own.sort(), dependencies);
  const [size, unpacked] = [packed.size / 1024, packed.unpackedSize / 1024];
  t.diagnostic(
    `${Math.round(size)} KiB packed, ${Math.round(unpacked)} KiB unpacked, ${packed.entryCount} files, ${own.length} dependencies`,
  );
  assert.ok(size <= packedKiBMax, `${size} KiB packed`);
  assert.ok(unpacked <= unpackedKiBMax, `${unpacked} KiB unpacked`);
});

test("the package has what is published, and nothing of tests, sources or this machine", () => {
  const files = packed.files.map(({ path }) => path);
  const expected = /^(README\.md|CHANGELOG\.md|LICENSE|package\.json|proto\/.*\.proto|dist\/.*\.(js|js\.map|d\.ts))$/;
  const other = files.filter(
    path => !expected.test(path) || /\.(test|fixture)\.|scripted-peer|differential/.test(path),
  );
  assert.deepEqual(other, []);
  assert.ok(files.length > 200, `${files.length} files`);
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  for (const field of ["scripts", "devDependencies", "workspaces", "allowScripts"])
    assert.ok(!(field in manifest), field);
  for (const path of files) {
    const text = readFileSync(join(installed, path), "utf8");
    if (!path.endsWith(".md")) assert.ok(!text.includes('"trunkline-source"'), `${path} leads to the sources`);
    assert.ok(!text.includes(rootFolder), `${path} has a path of this machine`);
  }
});

test("every source map has its source in it", () => {
  for (const { path } of packed.files.filter(file => file.path.endsWith(".js.map"))) {
    const map = JSON.parse(readFileSync(join(installed, path), "utf8")) as { sourcesContent?: readonly string[] };
    assert.ok(
      map.sourcesContent?.every(text => typeof text === "string"),
      path,
    );
  }
});

test("publint finds nothing", async () => {
  await run(staged, checker("publint"), ["--strict"]);
});

test("the types of every entry resolve as its code does (attw)", async () => {
  await run(folder, checker("attw"), [join(folder, packed.filename), "--profile", "esm-only"]);
});

for (const project of ["tsconfig.json", "tsconfig.bundler.json"]) {
  test(`a user's code type-checks against the published types, declarations included: ${project}`, async () => {
    await run(consumer, ownProgram("tsc"), ["-p", project]);
  });
}

const greeting = { first_name: "Ada", text: "Hello, Ada!", at: "1970-01-01T00:00:00Z" };
const overRpc = ["Hello, Ada!", [1, 2, 3], true];
const expected = {
  grpc: overRpc,
  connect: overRpc,
  "grpc-web": overRpc,
  rest: [200, greeting],
  refused: [400, ["string.max_len"]],
  openapi: ["/v1/greetings/{first_name}"],
  testing: "function",
};

for (const [major, node] of [
  ["22", checker("node")],
  ["26", ownProgram("node")],
] as const) {
  test(`a user's server and clients work on Node ${major}`, async () => {
    assert.match(await run(consumer, node, ["--version"]), new RegExp(`^v${major}[.]`));
    assert.deepEqual(JSON.parse(await run(consumer, node, ["src/main.ts"])), expected);
  });

  test(`the program works on Node ${major}`, async () => {
    const program = join(consumer, "node_modules/.bin/trunkline");
    const { version } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assert.equal(await run(consumer, node, [program, "--version"]), `${version}\n`);
    const { paths } = JSON.parse(await run(consumer, node, [program, "openapi", "proto"], withPrograms));
    assert.deepEqual(Object.keys(paths), expected.openapi);
  });
}

test("generated JavaScript runs without a build step", async () => {
  const program = join(consumer, "node_modules/.bin/trunkline");
  await run(consumer, process.execPath, [program, "generate", "--target", "js", "--out", "gen"], withPrograms);
  const script =
    'import { GreetingService } from "./gen/greeting/v1/greeting_pb.js"; console.log(GreetingService.typeName)';
  assert.equal(
    await run(consumer, checker("node"), ["--input-type=module", "-e", script]),
    "greeting.v1.GreetingService\n",
  );
});

test("who has a buf.yaml of their own gets there as the documentation says", async () => {
  const page = readFileSync(join(rootFolder, "docs/contracts.md"), "utf8");
  const blocks = [...page.matchAll(/^```yaml\n# (\S+)\n([\s\S]*?)^```$/gm)].map(([, name = "", text = ""]) => [
    name,
    text,
  ]);
  assert.deepEqual(
    blocks.map(([name]) => name),
    ["buf.yaml", "buf.gen.yaml"],
  );
  for (const [name = "", text = ""] of blocks) writeFileSync(join(consumer, name), text);
  rmSync(join(consumer, "src/gen"), { recursive: true });
  await run(consumer, ownProgram("buf"), ["generate", "proto"], withPrograms);
  assert.deepEqual(readdirSync(join(consumer, "src/gen")).sort(), ["buf", "google", "greeting", "trunkline"]);
  await run(consumer, ownProgram("tsc"), ["-p", "."]);
});
