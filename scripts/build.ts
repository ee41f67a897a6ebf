// Compiles src/ to dist/: declarations by TypeScript, JavaScript by esbuild, which joins modules that are loaded together.
// Node takes longer to find and load 200 small files than to run them; joined, a service starts a quarter faster
// (bench/start.ts). Source maps lead stack traces back to the files of src/, which they carry.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
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
  placeSources(out);
  for (const entry of entries) {
    const file = join(out, entry.slice("./dist/".length));
    if (!existsSync(file)) throw new Error(`build: package.json names ${entry}, which nothing in src/ compiles to`);
  }
  for (const entry of Object.values(manifest.bin)) chmodSync(join(out, entry.slice("./dist/".length)), 0o755);
}

/**
 * Writes into the source maps where src/ would be beside dist/. Built elsewhere, they would hold the way from there to this
 * checkout: another package on every machine.
 */
function placeSources(out: string): void {
  for (const path of globSync("**/*.map", { cwd: out })) {
    const file = join(out, path);
    const map = JSON.parse(readFileSync(file, "utf8")) as { sources: string[] };
    const published = dirname(join(root, "dist", path));
    map.sources = map.sources.map(source => relative(published, resolve(dirname(file), source)));
    writeFileSync(file, JSON.stringify(map));
  }
}

/** Type-checks src/ and writes the declarations. */
function declare(out: string): void {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const args = [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", out];
  const { status, stdout, error } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`build: ${error?.message ?? stdout}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
