import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { CommandError, type Terminal, UsageError } from "./command.ts";
import { reflectedServices } from "./reflected-services.ts";
import { Workspace } from "./workspace.ts";

/**
 * The services of a contract: a folder of .proto files, a descriptor set, a module, or a running server.
 * @throws CommandError when it cannot be read; UsageError when it is nothing of these
 */
export async function loadServices(source: string, terminal: Terminal): Promise<readonly DescService[]> {
  if (/^https?:\/\//.test(source)) return reflectedServices(source);
  if (source === "-") return servicesOf(parseSet(await terminal.readInput(), "the standard input"));
  const path = resolve(terminal.folder, source);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new CommandError(`${source} does not exist`);
  if (stat.isDirectory()) return compiledServices(source, terminal);
  if (/\.[cm]?[jt]s$/.test(source)) return exportedServices(path, source);
  if (source.endsWith(".proto")) {
    throw new UsageError(`${source} is one file; name the folder that its imports begin at, and a --service`);
  }
  return servicesOf(parseSet(readFileSync(path), source));
}

async function compiledServices(source: string, { folder }: Terminal): Promise<readonly DescService[]> {
  const workspace = new Workspace(folder, [source]);
  try {
    const [module = source] = workspace.modules;
    const set = parseSet(await workspace.buf(["build", module, "-o", "-"]), source);
    // What it imports from elsewhere is in the set, too.
    return servicesOf(set).filter(({ file }) => existsSync(join(folder, source, file.proto.name)));
  } finally {
    workspace[Symbol.dispose]();
  }
}

async function exportedServices(path: string, source: string): Promise<readonly DescService[]> {
  const module = (await import(pathToFileURL(path).href).catch((cause: unknown) => {
    throw new CommandError(`cannot load ${source}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  })) as Readonly<Record<string, unknown>>;
  return Object.values(module).filter(isService);
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
function servicesOf(set: FileDescriptorSet): readonly DescService[] {
  try {
    const services: DescService[] = [];
    for (const type of createFileRegistry(set)) if (type.kind === "service") services.push(type);
    return services;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(`the descriptor set is not whole: ${message}; build it with its imports`, { cause });
  }
}
