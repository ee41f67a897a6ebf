import { resolve } from "node:path";
import type { Command, CommandInput, Terminal } from "./command.ts";
import { findProgram, Workspace } from "./workspace.ts";

export const generate: Command = {
  name: "generate",
  summary: "Generate TypeScript from .proto files.",
  usage: "[folder…]",
  description: [
    "Compiles the .proto files of the folders (default: proto) with buf and protoc-gen-es, and what they import of",
    "trunkline/, google/api/, google/rpc/ and buf/validate/, which need not be installed. The folders are where imports",
    "begin. Needs the packages @bufbuild/buf and @bufbuild/protoc-gen-es.",
  ].join("\n"),
  options: {
    out: { short: "o", value: "folder", help: "Where the code goes (default: src/gen)." },
    target: {
      value: "language",
      choices: ["ts", "js"],
      help: "ts (default), or js: JavaScript with declarations.",
    },
    "import-extension": {
      value: "extension",
      choices: ["ts", "js", "none"],
      help: "How imports end: ts (default), which Node runs as it is; js for tsc without allowImportingTsExtensions.",
    },
  },
  examples: ["trunkline generate", "trunkline generate contracts --out src/gen --import-extension js"],
  run: runGenerate,
};

async function runGenerate(input: CommandInput, { folder }: Terminal): Promise<void> {
  const target = input.one("target") ?? "ts";
  const extension = input.one("import-extension") ?? target;
  const plugin = findProgram(folder, "@bufbuild/protoc-gen-es", "protoc-gen-es");
  const workspace = new Workspace(folder, input.arguments.length === 0 ? ["proto"] : input.arguments);
  try {
    const template = JSON.stringify({
      version: "v2",
      plugins: [
        {
          local: plugin,
          out: resolve(folder, input.one("out") ?? "src/gen"),
          include_imports: true,
          opt:
            target === "ts"
              ? ["target=ts", `import_extension=${extension}`, "erasable_syntax=true"]
              : ["target=js+dts", `import_extension=${extension}`],
        },
      ],
    });
    for (const module of workspace.modules) await workspace.buf(["generate", module, "--template", template]);
  } finally {
    workspace[Symbol.dispose]();
  }
}
