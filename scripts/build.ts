// Compiles src/ to dist/: declarations by TypeScript, JavaScript by esbuild, which joins modules that are loaded together.
// Node takes longer to find and load 200 small files than to run them; joined, a service starts a quarter faster
// (bench/start.ts). Source maps lead stack traces back to the files of src/, which they carry.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly engines: { readonly node: string };
}

/** @throws Error with what the compilers say, and for an entry of package.json that does not come out */
export function build(out: string = join(root, "dist")): void {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const entries = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).flatMap(one => (typeof one === "string" ? [] : (one.default ?? []))),
  ];
  // What an earlier build left would be published.
  rmSync(out, { recursive: true, force: true });
  declare(out);
  buildSync({
    absWorkingDir: root,
    entryPoints: entries.map(entry => entry.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts")),
    outbase: "src",
    outdir: out,
    tsconfig: "tsconfig.json",
    bundle: true,
    // Subpaths share what they have in common, and what is imported when it is needed stays apart.
    splitting: true,
    chunkNames: "chunks/[hash]",
    packages: "external",
    platform: "node",
    format: "esm",
    target: manifest.engines.node.replace(/^>=/, "node"),
    sourcemap: true,
    logLevel: "warning",
  });
  for (const entry of entries) {
    const file = join(out, entry.slice("./dist/".length));
    if (!existsSync(file)) throw new Error(`build: package.json names ${entry}, which nothing in src/ compiles to`);
  }
  for (const entry of Object.values(manifest.bin)) chmodSync(join(out, entry.slice("./dist/".length)), 0o755);
}

/** Type-checks src/ and writes the declarations. */
function declare(out: string): void {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const args = [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", out];
  const { status, stdout, error } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`build: ${error?.message ?? stdout}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
