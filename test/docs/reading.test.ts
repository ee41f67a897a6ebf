import assert from "node:assert/strict";
import { test } from "node:test";
import { fencedBlocks } from "./blocks.ts";
import { compareOutput } from "./output.ts";
import { type ShownOutput, stepsOf } from "./steps.ts";

const fence = "```";

function steps(markdown: string) {
  return stepsOf(fencedBlocks("page.md", markdown));
}

function shown(format: ShownOutput["format"], text: string): readonly ShownOutput[] {
  return [{ place: "page.md:1", format, text }];
}

test("blocks are found with their line, also in lists and behind longer fences", () => {
  const blocks = fencedBlocks("page.md", `- a\n  ${fence}ts\n  x\n  ${fence}\n\n~~~~text a\n~~~\n${fence}\n~~~~\n`);
  assert.deepEqual(
    blocks.map(({ place, language, words, text }) => ({ place, language, words, text })),
    [
      { place: "page.md:2", language: "ts", words: [], text: "x\n" },
      { place: "page.md:6", language: "text", words: ["a"], text: `~~~\n${fence}\n` },
    ],
  );
});

test("a block that is not closed is an error, because it would hide the rest of the page", () => {
  assert.throws(() => fencedBlocks("page.md", `${fence}ts\nx`), /page.md:1: the code block is not closed/);
});

test("no block is passed over: unknown languages, words, programs and outputs of nothing fail", () => {
  const refused: readonly [string, RegExp][] = [
    [`${fence}\nx\n${fence}`, /info string "" has no meaning/],
    [`${fence}js\nx\n${fence}`, /info string "js" has no meaning/],
    [`${fence}ts skip\nx\n${fence}`, /info string "ts skip" has no meaning/],
    [`${fence}ts file=a.ts later\nx\n${fence}`, /has no meaning/],
    [`${fence}ts file=../a.ts\nx\n${fence}`, /is outside/],
    [`${fence}toml\na = 1\n${fence}`, /has no meaning/],
    [`${fence}json output\n{}\n${fence}`, /has no meaning/],
    [`${fence}text\nx\n${fence}`, /nothing whose output/],
    [`${fence}ts continue\nx\n${fence}`, /is no program to continue/],
    [`${fence}sh\ngrpcurl localhost\n${fence}`, /"grpcurl" is not run here/],
    [`${fence}sh server\nnode a.ts\nnode b.ts\n${fence}`, /a server is one command/],
  ];
  for (const [markdown, message] of refused) assert.throws(() => steps(markdown), message);
});

test("a program is the blocks that continue it; commands may take several lines", () => {
  const [program, commands] = steps(
    `${fence}ts\na\n${fence}\n${fence}ts continue\nb\n${fence}\n${fence}sh\n# why\nnpm i x\ncurl \\\n -d '{\n}' y\n${fence}\n`,
  );
  assert(program?.kind === "program" && commands?.kind === "commands");
  assert.equal(program.text, "a\nb\n");
  assert.deepEqual(commands.lines, ["curl \\\n -d '{\n}' y"]);
  assert.equal(commands.shown, 1);
});

test("a file is named by its info string or by a comment that has nothing else", () => {
  const named = steps(
    `${fence}yaml\n# buf.yaml\nversion: v2\n${fence}\n${fence}proto file=proto/a.proto\n${fence}\n${fence}ts\n// why.\n${fence}\n`,
  );
  assert.deepEqual(
    named.map(step => [step.kind, "name" in step ? step.name : undefined]),
    [
      ["file", "buf.yaml"],
      ["file", "proto/a.proto"],
      ["program", "program-7.ts"],
    ],
  );
});

test("what is no whole is an excerpt: TypeScript under its long name, protobuf without syntax", () => {
  const excerpts = steps(
    `${fence}typescript\nf(1);\n${fence}\n${fence}proto\nmessage A {}\n${fence}\n${fence}proto\nsyntax = "proto3";\n${fence}\n`,
  );
  assert.deepEqual(
    excerpts.map(({ kind }) => kind),
    ["excerpt", "excerpt", "file"],
  );
});

test("output that differs from the one shown fails", () => {
  compareOutput(shown("text", "a …\nb\n"), "a 17\nb");
  assert.throws(() => compareOutput(shown("text", "a\nb\n"), "a"), /page.md:1: the output differs/);
  assert.throws(() => compareOutput(shown("text", "a.c\n"), "abc"));
  compareOutput(shown("json", '{ "a": [1, "x…"] }'), '{"a":[1,"xyz"]}');
  for (const other of ["{}", '{"a":[1]}', '{"a":[1,"y"]}', '{"a":[1,"x"],"b":2}', '{"a":{"0":1,"1":"x"}}', "x"]) {
    assert.throws(() => compareOutput(shown("json", '{ "a": [1, "x…"] }'), other), `accepted ${other}`);
  }
});

test("of an HTTP answer, status, the fields that are shown and the body count", () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ndate: today\r\n\r\n{}";
  compareOutput(shown("http", "HTTP/1.1 200 OK\ncontent-type: application/json\n\n{}\n"), answer);
  compareOutput(shown("http", "HTTP/1.1 200 OK\n"), answer);
  for (const other of ["HTTP/1.1 404 Not Found\n", "HTTP/1.1 200 OK\netag: …\n", 'HTTP/1.1 200 OK\n\n{"a":1}\n']) {
    assert.throws(() => compareOutput(shown("http", other), answer), `accepted ${other}`);
  }
});
