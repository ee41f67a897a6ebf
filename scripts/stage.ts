// Lays out the package as it is published, in .build/package, and packs it: `node scripts/stage.ts [folder for the .tgz]`.
// The checkout itself is not what is published: its manifest has scripts, workspaces and a condition that leads to src/, and
// the contracts that users import beside ours come from other packages.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const published = [
  "name",
  "version",
  "description",
  "keywords",
  "license",
  "repository",
  "type",
  "engines",
  "bin",
  "exports",
  "files",
  "sideEffects",
  "dependencies",
  "peerDependencies",
  "peerDependenciesMeta",
];

/** @param folder emptied first */
export function stage(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  build(join(folder, "dist"));
  cpSync(join(root, "proto"), join(folder, "proto"), { recursive: true });
  for (const imported of [".build/google", ".build/validate"]) {
    cpSync(join(root, imported), join(folder, "proto"), { recursive: true });
  }
  for (const file of ["README.md", "CHANGELOG.md", "LICENSE"]) cpSync(join(root, file), join(folder, file));
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Readonly<Record<string, unknown>>;
  const own = Object.fromEntries(published.filter(name => name in manifest).map(name => [name, manifest[name]]));
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(own, withoutSources, 2)}\n`);
}

/** Leaves out the condition that leads to src/ in a checkout. */
function withoutSources(key: string, value: unknown): unknown {
  return key === "trunkline-source" ? undefined : value;
}

/** What npm says of a tarball; sizes in bytes. */
export interface Tarball {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly entryCount: number;
  readonly files: readonly { readonly path: string }[];
}

/** Packs a staged package. @param out where the .tgz goes */
export function pack(folder: string, out: string): Tarball {
  mkdirSync(out, { recursive: true });
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", out];
  const { status, stdout, stderr, error } = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`npm pack: ${error?.message ?? stderr}`);
  // An array until npm 11, an object by name from npm 12 on.
  const [tarball] = Object.values(JSON.parse(stdout) as Readonly<Record<string, Tarball>>);
  if (tarball === undefined) throw new Error(`npm pack said nothing of what it packed: ${stdout}`);
  return tarball;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = join(root, ".build/package");
  stage(folder);
  const { filename, size, unpackedSize, entryCount } = pack(folder, process.argv[2] ?? join(root, ".build"));
  const kib = (bytes: number) => `${Math.round(bytes / 1024)} KiB`;
  process.stdout.write(`${filename}: ${kib(size)}, unpacked ${kib(unpackedSize)}, ${entryCount} files\n`);
}
