import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createFileRegistry, type DescFile, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { CommandError, type Terminal, UsageError } from "./command.ts";
import { reflectedServices } from "./reflected-services.ts";
import { Workspace } from "./workspace.ts";

/**
 * The services of a contract: a folder of .proto files, a descriptor set, a module, or a running server.
 * @throws CommandError when it cannot be read; UsageError when it is nothing of these
 */
export async function loadServices(source: string, terminal: Terminal): Promise<readonly DescService[]> {
  const { files, services } = await load(source, terminal);
  return services ?? files.flatMap(file => file.services);
}

/**
 * The files of a contract, from the same sources. Of a server they are those of its services, and what these import.
 * @throws as {@link loadServices}
 */
export async function loadFiles(source: string, terminal: Terminal): Promise<readonly DescFile[]> {
  return (await load(source, terminal)).files;
}

interface Loaded {
  readonly files: readonly DescFile[];
  /** Where the source names them itself: not every service of its files is meant. */
  readonly services?: readonly DescService[];
}

async function load(source: string, terminal: Terminal): Promise<Loaded> {
  if (/^https?:\/\//.test(source)) return declaringThem(await reflectedServices(source));
  if (source === "-") return { files: filesOf(parseSet(await terminal.readInput(), "the standard input")) };
  const path = resolve(terminal.folder, source);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new CommandError(`${source} does not exist`);
  if (stat.isDirectory()) return { files: await compiledFiles(source, terminal) };
  if (/\.[cm]?[jt]s$/.test(source)) return exported(path, source);
  if (source.endsWith(".proto")) {
    throw new UsageError(`${source} is one file; name the folder that its imports begin at`);
  }
  return { files: filesOf(parseSet(readFileSync(path), source)) };
}

function declaringThem(services: readonly DescService[]): Loaded {
  return { services, files: [...new Set(services.map(({ file }) => file))] };
}

async function compiledFiles(source: string, { folder }: Terminal): Promise<readonly DescFile[]> {
  const workspace = new Workspace(folder, [source]);
  try {
    const [module = source] = workspace.modules;
    const set = parseSet(await workspace.buf(["build", module, "-o", "-"]), source);
    // What it imports from elsewhere is in the set, too.
    return filesOf(set).filter(({ proto }) => existsSync(join(folder, source, proto.name)));
  } finally {
    workspace[Symbol.dispose]();
  }
}

async function exported(path: string, source: string): Promise<Loaded> {
  const module = (await import(pathToFileURL(path).href).catch((cause: unknown) => {
    throw new CommandError(`cannot load ${source}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  })) as Readonly<Record<string, unknown>>;
  const values = Object.values(module);
  const files = values.map(fileOf).filter(file => file !== undefined);
  return { services: values.filter(isService), files: [...new Set(files)] };
}

/** The file of generated code: itself, or what it describes. */
function fileOf(value: unknown): DescFile | undefined {
  if (typeof value !== "object" || value === null || !("kind" in value)) return undefined;
  if (value.kind === "file" && "messages" in value) return value as DescFile;
  return (isService(value) || value.kind === "message") && "file" in value ? (value.file as DescFile) : undefined;
}

function isService(value: unknown): value is DescService {
  return (
    typeof value === "object" && value !== null && "kind" in value && value.kind === "service" && "methods" in value
  );
}

function parseSet(bytes: Uint8Array, source: string): FileDescriptorSet {
  try {
    const set = fromBinary(FileDescriptorSetSchema, bytes);
    if (set.file.length > 0) return set;
  } catch (cause) {
    throw new CommandError(`${source} is not a descriptor set; make one with buf build -o contract.binpb`, { cause });
  }
  throw new CommandError(`${source} is an empty descriptor set; make one with buf build -o contract.binpb`);
}

/** @throws CommandError for a set that lacks what its files import */
function filesOf(set: FileDescriptorSet): readonly DescFile[] {
  try {
    return [...createFileRegistry(set).files];
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(`the descriptor set is not whole: ${message}; build it with its imports`, { cause });
  }
}
