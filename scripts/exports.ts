// The subpaths of the package follow from src/exports: a file there that begins with "/** `trunkline/name`" is the subpath
// `trunkline/name`. `node scripts/exports.ts` writes them into package.json.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What others need to read: the manifest, and contracts to import (`trunkline/v1/options.proto`). */
const files = { "./package.json": "./package.json", "./proto/*": "./proto/*" };

/** The `exports` that src/exports asks for. */
export function expectedExports(): Readonly<Record<string, string | Readonly<Record<string, string>>>> {
  const folder = join(root, "src/exports");
  const names = readdirSync(folder).filter(name => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  const sources = new Map(names.map(name => [name.slice(0, -3), readFileSync(join(folder, name), "utf8")]));
  const subpaths = new Map<string, string>();
  for (const [name, source] of sources) {
    const subpath = /^\/\*\*\s+(?:\* )?`trunkline(\/[a-z0-9-]+)?`/.exec(source);
    if (subpath !== null) subpaths.set(`.${subpath[1] ?? ""}`, name);
    else if (![...sources.values()].some(other => other.includes(`"./${name}.ts"`))) {
      throw new Error(
        `src/exports/${name}.ts: nothing exports it; begin it with "/** \`trunkline/${name}\`: …" to make it a subpath`,
      );
    }
  }
  const conditions = (name: string) => ({
    "trunkline-source": `./src/exports/${name}.ts`,
    types: `./dist/exports/${name}.d.ts`,
    default: `./dist/exports/${name}.js`,
  });
  const sorted = [...subpaths].sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...Object.fromEntries(sorted.map(([subpath, name]) => [subpath, conditions(name)])), ...files };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(root, "package.json");
  const manifest = JSON.parse(readFileSync(file, "utf8"));
  manifest.exports = expectedExports();
  writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`);
}
