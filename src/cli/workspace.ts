import { execFile } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { CommandError } from "./command.ts";
import { packageFolder } from "./package-folder.ts";

/** Contracts that a contract may import without having them: ours, google/api, google/rpc and buf/validate. */
const importedFolders: readonly string[] = [
  join(packageFolder, "proto"),
  // In a checkout, where they lie before they are packed.
  join(packageFolder, ".build/google"),
  join(packageFolder, ".build/validate"),
];
const importedPackages: readonly string[] = ["trunkline", "google", "buf"];
const importsFolder = "trunkline-imports";
const outputBytesMax = 256 * 1024 * 1024;

/**
 * A temporary workspace of buf: folders of .proto files beside the contracts that they may import. Needs no buf.yaml, and
 * works wherever the package is installed (buf reads nothing outside of its workspace).
 */
export class Workspace implements Disposable {
  /** Paths in here look as they do from the user's folder, so that the compiler's messages name the user's files. */
  readonly folder: string;
  /** The folders with .proto files, relative to `folder`. */
  readonly modules: readonly string[];
  readonly #userFolder: string;

  /** @throws CommandError when one of them is no folder */
  constructor(userFolder: string, protoFolders: readonly string[]) {
    this.#userFolder = userFolder;
    for (const folder of protoFolders) {
      if (!statSync(resolve(userFolder, folder), { throwIfNoEntry: false })?.isDirectory()) {
        throw new CommandError(
          `${folder} is not a folder; name the folder that the imports of its .proto files begin at`,
        );
      }
    }
    this.folder = mkdtempSync(join(tmpdir(), "trunkline-"));
    this.modules = protoFolders.map((folder, index) => {
      const path = relative(userFolder, resolve(userFolder, folder));
      const isInside = path !== "" && !path.startsWith("..") && !isAbsolute(path);
      const module = isInside ? path : `${basename(resolve(userFolder, folder))}${index === 0 ? "" : index}`;
      const link = join(this.folder, module);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(resolve(userFolder, folder), link, "junction");
      return module;
    });
    this.#addImports(protoFolders.map(folder => resolve(userFolder, folder)));
    const modules = [
      ...this.modules.map(path => {
        const hasPackages = existsSync(join(this.folder, path, "node_modules"));
        return { path, ...(hasPackages ? { excludes: [join(path, "node_modules")] } : {}) };
      }),
      { path: importsFolder },
    ];
    writeFileSync(join(this.folder, "buf.yaml"), JSON.stringify({ version: "v2", modules }));
  }

  /** A file that the user has too is the user's. */
  #addImports(protoFolders: readonly string[]): void {
    const target = join(this.folder, importsFolder);
    mkdirSync(target);
    for (const folder of importedFolders) {
      for (const name of importedPackages) {
        if (!existsSync(join(folder, name))) continue;
        for (const file of readdirSync(join(folder, name), { recursive: true, encoding: "utf8" })) {
          const path = join(name, file);
          if (!path.endsWith(".proto") || protoFolders.some(own => existsSync(join(own, path)))) continue;
          mkdirSync(dirname(join(target, path)), { recursive: true });
          cpSync(join(folder, path), join(target, path));
        }
      }
    }
  }

  /**
   * Runs buf here.
   * @returns what it wrote
   * @throws CommandError with its messages
   */
  async buf(args: readonly string[]): Promise<Uint8Array> {
    const program = findProgram(this.#userFolder, "@bufbuild/buf", "buf");
    try {
      const { stdout } = await promisify(execFile)(program[0], [...program.slice(1), ...args], {
        cwd: this.folder,
        encoding: "buffer",
        maxBuffer: outputBytesMax,
      });
      return stdout;
    } catch (cause) {
      const { code, stderr } = cause as { readonly code?: unknown; readonly stderr?: Uint8Array };
      if (code === "ENOENT") throw missing(cause);
      const said = Buffer.from(stderr ?? [])
        .toString()
        .trim();
      throw new CommandError(said === "" ? `buf failed: ${String(cause)}` : `buf: ${said}`, { cause });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The command of a program: of the package that the user has installed, otherwise of the PATH. */
export function findProgram(userFolder: string, packageName: string, name: string): readonly [string, ...string[]] {
  for (let folder = userFolder; ; folder = dirname(folder)) {
    const script = join(folder, "node_modules", packageName, "bin", name);
    // Both are JavaScript, which every system can start this way.
    if (existsSync(script)) return [process.execPath, script];
    if (dirname(folder) === folder) break;
  }
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const program = join(folder, process.platform === "win32" ? `${name}.exe` : name);
    if (folder !== "" && existsSync(program)) return [program];
  }
  throw missing(undefined);
}

function missing(cause: unknown): CommandError {
  return new CommandError(
    "buf and protoc-gen-es are needed to read .proto files; npm install --save-dev @bufbuild/buf @bufbuild/protoc-gen-es",
    { cause },
  );
}
