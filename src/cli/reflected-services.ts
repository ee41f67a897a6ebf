import { create, createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Channel } from "../calls/channel/index.ts";
import { createClient } from "../calls/rpc/index.ts";
import { ServerReflection } from "../contract/gen/grpc/reflection/v1/reflection_pb.ts";
import { isRpcError } from "../errors/index.ts";
import { CommandError } from "./command.ts";

/** A server that answers later than this has trouble that waiting does not mend. */
const timeoutMs = 10_000;
/** Services of the infrastructure, which have no API of their own. */
const infrastructure = /^grpc\.(health|reflection)\./;

/**
 * The services of a running server, asked over gRPC reflection.
 * @throws CommandError when it does not answer, or does not know reflection
 */
export async function reflectedServices(address: string): Promise<readonly DescService[]> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || url.hostname === "")
    throw new CommandError(`${address} is not an address; http://host:port is`);
  const isTls = url.protocol === "https:";
  const target = `${url.hostname}:${url.port === "" ? (isTls ? 443 : 80) : url.port}`;
  const channel = new Channel(target, isTls ? { tls: {} } : {});
  try {
    const { names, files } = await ask(channel);
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(files) }));
    return names
      .filter(name => !infrastructure.test(name))
      .map(name => registry.getService(name))
      .filter(service => service !== undefined);
  } catch (cause) {
    const way = isRpcError(cause, "unimplemented")
      ? "has no gRPC reflection; give the contract's folder instead"
      : `did not answer: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new CommandError(`${address} ${way}`, { cause });
  } finally {
    channel.close();
  }
}

async function ask(channel: Channel) {
  const client = createClient(ServerReflection, channel);
  const files = new Map<string, FileDescriptorProto>();
  const names: string[] = [];
  const list = { messageRequest: { case: "listServices" as const, value: "" } };
  for await (const { messageResponse } of client.serverReflectionInfo([list], { timeoutMs })) {
    if (messageResponse.case !== "listServicesResponse") continue;
    names.push(...messageResponse.value.service.map(({ name }) => name));
  }
  const requests = names.map(value => ({ messageRequest: { case: "fileContainingSymbol" as const, value } }));
  for await (const { messageResponse } of client.serverReflectionInfo(requests, { timeoutMs })) {
    if (messageResponse.case === "errorResponse") throw new Error(messageResponse.value.errorMessage);
    if (messageResponse.case !== "fileDescriptorResponse") continue;
    for (const bytes of messageResponse.value.fileDescriptorProto) {
      const file = fromBinary(FileDescriptorProtoSchema, bytes);
      files.set(file.name, file);
    }
  }
  return { names, files };
}

/** A registry wants each file behind those that it imports. */
function importsFirst(files: ReadonlyMap<string, FileDescriptorProto>): FileDescriptorProto[] {
  const sorted = new Set<FileDescriptorProto>();
  const seen = new Set<string>();
  const visit = (file: FileDescriptorProto) => {
    if (seen.has(file.name)) return;
    seen.add(file.name);
    for (const name of file.dependency) {
      const dependency = files.get(name);
      if (dependency !== undefined) visit(dependency);
    }
    sorted.add(file);
  };
  for (const file of files.values()) visit(file);
  return [...sorted];
}
