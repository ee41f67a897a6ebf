import type { Block } from "./blocks.ts";

/** Output that a page shows below a block, in the format that decides how it is compared. */
export interface ShownOutput {
  readonly place: string;
  readonly format: "text" | "json" | "http";
  readonly text: string;
}

/** What the blocks of a page ask for, in their order. */
export type Step =
  /** A file of the page's project. */
  | { readonly kind: "file"; readonly place: string; readonly name: string; readonly text: string }
  /** A whole program, of one block and those that continue it. It ends by itself. */
  | {
      readonly kind: "program";
      readonly place: string;
      readonly name: string;
      text: string;
      readonly outputs: ShownOutput[];
    }
  | {
      readonly kind: "commands";
      readonly place: string;
      readonly lines: readonly string[];
      /** Lines for the reader's machine alone. */
      readonly shown: number;
      readonly exitCode: number;
      readonly outputs: ShownOutput[];
    }
  /** A server that runs until the page ends, or until a step of this kind takes its place. */
  | { readonly kind: "server"; readonly place: string; readonly command: string; readonly outputs: ShownOutput[] }
  /** Code of another library (`before`), or a piece of ours that is no whole: parsed and no more. */
  | {
      readonly kind: "before" | "excerpt";
      readonly place: string;
      readonly language: "ts" | "proto" | "yaml";
      readonly text: string;
    };

/** What `sh` blocks may run; all other programs may be missing where the tests run. */
const runnable = ["curl", "node", "npx", "openssl"];
/** Installing is the reader's: tests do not change what is installed. */
const shownOnly = ["npm"];

/** The steps of a page. @throws Error naming the block whose info string or content has no meaning here */
export function stepsOf(blocks: readonly Block[]): readonly Step[] {
  const steps: Step[] = [];
  for (const block of blocks) {
    const { place, language, words, text } = block;
    const last = steps.at(-1);
    const [word, ...more] = words;
    if (more.length > 0) throw unknown(block);
    const file = /^file=(\S+)$/.exec(word ?? "")?.[1] ?? (word === undefined ? fileNamedInside(text) : undefined);
    if (file !== undefined) {
      if (file.startsWith("/") || file.split("/").includes("..")) throw new Error(`${place}: ${file} is outside`);
      steps.push({ kind: "file", place, name: file, text });
    } else if (word === undefined && (language === "text" || language === "json" || language === "http")) {
      if (last === undefined || !("outputs" in last))
        throw new Error(`${place}: there is nothing whose output this is`);
      last.outputs.push({ place, format: language, text });
    } else if (language === "ts" && word === undefined) {
      steps.push({ kind: "program", place, name: `program-${block.line}.ts`, text, outputs: [] });
    } else if (language === "ts" && word === "continue") {
      if (last?.kind !== "program") throw new Error(`${place}: what is before it is no program to continue`);
      last.text += text;
    } else if (language === "proto" && word === undefined) {
      const isWhole = /^(?:syntax|edition) *=/m.test(text);
      if (isWhole) steps.push({ kind: "file", place, name: `proto/block-${block.line}.proto`, text });
      else steps.push({ kind: "excerpt", place, language: "proto", text });
    } else if (language === "typescript" && word === undefined) {
      steps.push({ kind: "excerpt", place, language: "ts", text });
    } else if (language === "yaml" && word === undefined) {
      steps.push({ kind: "excerpt", place, language, text });
    } else if (language === "ts" && word === "before") {
      steps.push({ kind: "before", place, language: "ts", text });
    } else if (language === "diff" && word === undefined) {
      // Both sides: what a reader has, and what becomes of it.
      steps.push({ kind: "before", place, language: "ts", text: sideOf(text, "-") });
      steps.push({ kind: "excerpt", place, language: "ts", text: sideOf(text, "+") });
    } else if (language === "sh" && (word === undefined || /^exit=[0-9]+$/.test(word))) {
      steps.push(commands(block, Number(word?.slice("exit=".length) ?? 0)));
    } else if (language === "sh" && word === "server") {
      const { lines } = commands(block, 0);
      const [command] = lines;
      if (command === undefined || lines.length > 1) throw new Error(`${place}: a server is one command`);
      steps.push({ kind: "server", place, command, outputs: [] });
    } else {
      throw unknown(block);
    }
  }
  return steps;
}

/** One side of a change: its own lines and those that both sides have, without the marks. */
function sideOf(text: string, mark: "-" | "+"): string {
  const lines = text.split("\n").filter(line => line.startsWith(mark) || line.startsWith(" ") || line === "");
  return lines.map(line => line.slice(1)).join("\n");
}

/** The name of a file that stands alone in a comment on the first line. */
function fileNamedInside(text: string): string | undefined {
  return /^(?:\/\/|#) ([\w./-]+[.](?:ts|proto|yaml|json))\n/.exec(text)?.[1];
}

function unknown({ place, language, words }: Block): Error {
  const info = [language, ...words].join(" ");
  return new Error(
    `${place}: the info string "${info}" has no meaning; docs/README.md, "How these pages are tested", lists those that have`,
  );
}

function commands(block: Block, exitCode: number): Step & { readonly kind: "commands" } {
  const { place } = block;
  const lines: string[] = [];
  let shown = 0;
  for (const line of commandLines(block.text)) {
    const program = /^(?:[A-Z_]+=\S*\s+)*(\S+)/.exec(line)?.[1] ?? "";
    if (shownOnly.includes(program)) shown++;
    else if (runnable.includes(program)) lines.push(line);
    else throw new Error(`${place}: "${program}" is not run here; ${[...runnable, ...shownOnly].join(", ")} are known`);
  }
  return { kind: "commands", place, lines, shown, exitCode, outputs: [] };
}

/** The commands of a script: lines, joined where one ends in a backslash or inside of quotes. Comments are left out. */
function commandLines(script: string): readonly string[] {
  const lines: string[] = [];
  let open = "";
  for (const line of script.split("\n")) {
    if (open === "" && (line.trim() === "" || line.trimStart().startsWith("#"))) continue;
    open += open === "" ? line : `\n${line}`;
    const isWhole = !open.endsWith("\\") && (open.match(/'/g)?.length ?? 0) % 2 === 0;
    if (!isWhole) continue;
    lines.push(open);
    open = "";
  }
  if (open !== "") lines.push(open);
  return lines;
}
