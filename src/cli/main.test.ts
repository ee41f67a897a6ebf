import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commands } from "./main.ts";
import { run } from "./recorded-terminal.fixture.ts";

const root = process.cwd();

test("--help lists every command and exits with 0", async () => {
  const { exitCode, out, error } = await run(root, ["--help"]);
  assert.equal(exitCode, 0);
  assert.equal(error, "");
  for (const { name, summary } of commands)
    assert.match(out, new RegExp(`^ {2}${name} +${summary.replace(/[.()]/g, "\\$&")}$`, "m"));
});

test("every command's --help shows each of its options and an example that the command accepts", async () => {
  for (const command of commands) {
    const { exitCode, out } = await run(root, [...command.name.split(" "), "--help"]);
    assert.equal(exitCode, 0);
    for (const option of Object.keys(command.options))
      assert.ok(out.includes(`--${option}`), `${command.name} --${option}`);
    assert.ok(command.examples.length > 0);
    for (const example of command.examples) assert.ok(out.includes(example));
    assert.deepEqual(await run(root, ["help", ...command.name.split(" ")]), { exitCode: 0, out, error: "" });
  }
});

test("--version is the package's", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  assert.deepEqual(await run(root, ["--version"]), { exitCode: 0, out: `${version}\n`, error: "" });
});

test("a command line that makes no sense exits with 2 and says in one line what is wrong and where to read on", async () => {
  const lines: readonly (readonly [readonly string[], RegExp])[] = [
    [["opnapi"], /there is no command "opnapi"; see trunkline --help/],
    [["events", "tial"], /there is no command "events tial"; see trunkline events --help/],
    [["events", "tail", "x", "--form", "now"], /unknown option '--form'; see trunkline events tail --help/],
    [["events\x1b[2J"], /there is no command "events\\u001b\[2J"/],
    [["--verbose"], /there is no option "--verbose"; see trunkline --help/],
    [["openapi"], /name a contract.*; see trunkline openapi --help/],
    [["openapi", "x", "--titel", "T"], /unknown option '--titel'; see trunkline openapi --help/],
    [["openapi", "x", "--title"], /argument missing; see trunkline openapi --help/],
    [["openapi", "x", "--title", "A", "--title", "B"], /--title was given 2 times/],
    [["generate", "--target", "java"], /--target is "java"; it can be ts, js/],
    [["completion"], /name one shell: bash, zsh or fish/],
    [["completion", "tcsh"], /there is no script for "tcsh"/],
  ];
  for (const [args, expected] of lines) {
    const { exitCode, out, error } = await run(root, args);
    assert.equal(exitCode, 2, args.join(" "));
    assert.equal(out, "");
    assert.match(error, expected);
    assert.match(error, /^trunkline[^\n]*\n$/, "one line");
  }
});

test("nothing at all shows the help as an error", async () => {
  const { exitCode, out, error } = await run(root, []);
  assert.equal(exitCode, 2);
  assert.equal(out, "");
  assert.match(error, /^Usage: trunkline <command>/);
});

test("a family of commands has its own help, an error where no command of it was named", async () => {
  for (const args of [
    ["events", "--help"],
    ["help", "events"],
    ["events", "-h"],
  ]) {
    const { exitCode, out, error } = await run(root, args);
    assert.equal(exitCode, 0);
    assert.equal(error, "");
    assert.match(out, /^Usage: trunkline events <command>/);
    assert.match(out, /^ {2}events tail +Show/m);
    assert.doesNotMatch(out, /dead-letters/);
  }
  const { exitCode, out, error } = await run(root, ["dead-letters"]);
  assert.equal(exitCode, 2);
  assert.equal(out, "");
  assert.match(error, /^ {2}dead-letters replay +Give/m);
});

test("the bash completion offers commands, options and their values", async () => {
  const { out } = await run(root, ["completion", "bash"]);
  const complete = (...words: readonly string[]) =>
    execFileSync(
      "bash",
      ["-c", `${out}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _trunkline; echo "\${COMPREPLY[@]}"`, "-", ...words],
      {
        encoding: "utf8",
      },
    ).trim();
  assert.equal(complete("trunkline", "o"), "openapi");
  assert.equal(complete("trunkline", "openapi", "--ti"), "--title");
  assert.equal(complete("trunkline", "generate", "--target", ""), "ts js");
  assert.equal(complete("trunkline", "completion", ""), "bash zsh fish");
  assert.equal(complete("trunkline", "dead"), "dead-letters");
  assert.equal(complete("trunkline", "dead-letters", "d"), "discard");
  assert.equal(complete("trunkline", "dead-letters", "discard", "--y"), "--yes");
  assert.equal(complete("trunkline", "events", "tail", "--from", ""), "beginning now");
});
