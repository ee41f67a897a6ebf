import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import type { Step } from "./steps.ts";

const root = join(import.meta.dirname, "../..");
/** Inside of the repository, so that the dependencies resolve, and ignored by git. */
export const projectsFolder = join(root, ".build/docs");
const binaries = join(root, "node_modules/.bin");
const shims = join(projectsFolder, "bin");

/** Pages speak of this port; every run has another one in its place. */
const shownPort = /\b8080\b/g;

/** How pages are told to generate code (docs/start.md), for those that do not say it again. */
const generation = {
  "buf.yaml": "version: v2\nmodules:\n  - path: proto\n  - path: node_modules/trunkline/proto\n",
  "buf.gen.yaml": `version: v2
inputs:
  - directory: proto
plugins:
  - local: protoc-gen-es
    out: gen
    include_imports: true
    opt: [target=ts, import_extension=ts, erasable_syntax=true]
`,
};

/** The folder in which a page's reader would work: a package of its own with this library installed. */
export interface Project {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** Writes a file of the page. */
  write(name: string, text: string): void;
  /** A text of the page with the port of this run. */
  withPort(text: string): string;
}

/** Makes the folder for all projects anew, with what they share. */
export function prepareProjects(): void {
  rmSync(projectsFolder, { recursive: true, force: true });
  mkdirSync(shims, { recursive: true });
  writeProgram("npx", 'program=$1; shift; exec "$program" "$@"');
  for (const [name, built] of Object.entries(ownPrograms())) {
    const source = built.replace(/^[.]\/dist\/(.*)[.]js$/, "src/$1.ts");
    writeProgram(name, `exec node "${join(root, source)}" "$@"`);
  }
  const library = join(projectsFolder, "node_modules/trunkline");
  mkdirSync(library, { recursive: true });
  cpSync(join(root, "package.json"), join(library, "package.json"));
  symlinkSync(join(root, "src"), join(library, "src"));
  // What the package has in `proto`, and the contracts of others that ours import.
  for (const source of ["proto", ".build/google", ".build/validate"]) {
    cpSync(join(root, source), join(library, "proto"), { recursive: true });
  }
}

/** The programs of this package, by name. */
function ownPrograms(): Readonly<Record<string, string>> {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin?: Record<string, string> };
  return bin ?? {};
}

function writeProgram(name: string, script: string): void {
  writeFileSync(join(shims, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** Makes the project of a page with all of its files, so that the whole can be type-checked, and generates its code. */
export async function makeProject(page: string, steps: readonly Step[]): Promise<Project> {
  const folder = join(projectsFolder, page.replaceAll(/[^a-z0-9]+/gi, "-"));
  const port = String(await freePort());
  mkdirSync(folder, { recursive: true });
  const { NODE_TEST_CONTEXT: _, ...outer } = process.env;
  const project: Project = {
    folder,
    env: {
      ...outer,
      PATH: `${shims}:${binaries}:${process.env.PATH}`,
      NODE_OPTIONS: "--conditions=trunkline-source",
      NODE_COMPILE_CACHE: join(root, ".build/docs-cache"),
      NODE_NO_WARNINGS: "1",
      FORCE_COLOR: "0",
    },
    withPort: text => text.replaceAll(shownPort, port),
    write(name, text) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, project.withPort(text));
    },
  };
  project.write("package.json", '{ "type": "module" }\n');
  // The pages' buf.yaml names the library by its path below the project.
  symlinkSync(join(projectsFolder, "node_modules"), join(folder, "node_modules"));
  const written = new Map<string, number>();
  for (const step of steps) {
    if (step.kind !== "file" && step.kind !== "program") continue;
    // A file that the page gives twice is checked in both forms.
    const times = written.get(step.name) ?? 0;
    written.set(step.name, times + 1);
    project.write(times === 0 ? step.name : step.name.replace(/([.][a-z]+)$/, `-${times + 1}$1`), step.text);
  }
  if (steps.some(step => step.kind === "file" && step.name.endsWith(".proto"))) generate(project, written);
  else symlinkSync(join(root, "examples/shop/src/gen"), join(folder, "gen"));
  return project;
}

function generate({ folder, env, write }: Project, written: ReadonlyMap<string, number>): void {
  for (const [name, text] of Object.entries(generation)) if (!written.has(name)) write(name, text);
  const { status, stderr } = spawnSync(join(binaries, "buf"), ["generate"], { cwd: folder, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`generating the code of ${folder} failed:\n${stderr}`);
}

/** Type-checks all projects in one run. @returns what is wrong, by file and line */
export function typeCheck(): { readonly files: number; readonly problems: string } {
  const config = join(projectsFolder, "tsconfig.json");
  writeFileSync(
    config,
    JSON.stringify({ extends: "../../tsconfig.json", include: ["*/**/*.ts"], exclude: ["**/gen"] }),
  );
  const tsc = join(binaries, "tsc");
  const { status, stdout, error } = spawnSync(tsc, ["-p", config, "--listFiles"], { encoding: "utf8" });
  const lines = stdout.split("\n").map(line => line.trimEnd());
  const isOurs = (line: string) => line.startsWith(projectsFolder) && !/\/(gen|node_modules)\//.test(line);
  const problems = lines.filter(line => !/^\/\S+[.]ts$/.test(line)).join("\n");
  return { files: lines.filter(isOurs).length, problems: status === 0 ? "" : `${error?.message ?? ""}${problems}` };
}

/** Below the range from which the system takes ports for connections, so that nobody takes it meanwhile. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const isFree = await new Promise<boolean>(resolve => {
      server.once("error", () => resolve(false));
      server.listen(port, () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

/** The pages: README.md and all of docs/. */
export function readPages(): readonly { readonly name: string; readonly text: string }[] {
  const pages = readdirSync(join(root, "docs")).filter(name => name.endsWith(".md"));
  return ["README.md", ...pages.map(name => `docs/${name}`)].map(name => ({
    name,
    text: readFileSync(join(root, name), "utf8"),
  }));
}
