// Compiles src/ to dist/: JavaScript, declarations, and source maps that carry their sources.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** @throws Error with what the compiler says, and for an entry of package.json that does not come out */
export function build(out: string = join(root, "dist")): void {
  // What an earlier build left would be published.
  rmSync(out, { recursive: true, force: true });
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout, error } = spawnSync(
    process.execPath,
    [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", out],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`build: ${error?.message ?? stdout}`);
  const { bin, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly bin: Readonly<Record<string, string>>;
    readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  };
  const entries = [...Object.values(bin), ...Object.values(exports).flatMap(one => Object.values(one))];
  for (const entry of entries) {
    if (!entry.startsWith("./dist/")) continue;
    const file = join(out, entry.slice("./dist/".length));
    if (!existsSync(file)) throw new Error(`build: package.json names ${entry}, which src/ does not compile to`);
  }
  for (const entry of Object.values(bin)) chmodSync(join(out, entry.slice("./dist/".length)), 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
