import {
  create,
  createFileRegistry,
  type DescFile,
  type DescService,
  type FileRegistry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  ServerReflection as ReflectionV1,
  type ServerReflectionRequest,
} from "../../contract/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionV1Alpha } from "../../contract/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { codeRow } from "../../errors/index.ts";
import { type Implementation, implement } from "./implement.ts";

type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** gRPC server reflection, v1 and v1alpha, over the given services. */
export function reflection(services: readonly DescService[]): readonly Implementation[] {
  const all = [...services, ReflectionV1, ReflectionV1Alpha];
  const files = new Map<string, DescFile>();
  const collect = (file: DescFile) => {
    if (files.has(file.proto.name)) return;
    for (const dependency of file.dependencies) collect(dependency);
    files.set(file.proto.name, file);
  };
  for (const { file } of all) collect(file);
  let registry: FileRegistry | undefined;
  const answer = (request: ServerReflectionRequest["messageRequest"]) => {
    // Made for the first who asks: most servers are never asked. A file comes after all that it imports.
    registry ??= createFileRegistry(
      create(FileDescriptorSetSchema, { file: [...files.values()].map(({ proto }) => proto) }),
    );
    return reply(request, files, registry, all);
  };
  return [
    implement(ReflectionV1, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          yield { originalRequest: request, messageResponse: answer(request.messageRequest) };
        }
      },
    }),
    implement(ReflectionV1Alpha, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          yield {
            originalRequest: request,
            messageResponse: answer(request.messageRequest as ServerReflectionRequest["messageRequest"]),
          };
        }
      },
    }),
  ];
}

function reply(
  request: ServerReflectionRequest["messageRequest"],
  files: ReadonlyMap<string, DescFile>,
  registry: FileRegistry,
  services: readonly DescService[],
): Answer {
  switch (request.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: services.map(({ typeName }) => ({ name: typeName })) } };
    case "fileByFilename":
      return withImports(files.get(request.value), files, request.value);
    case "fileContainingSymbol": {
      const symbol = request.value;
      const found =
        registry.get(symbol)?.file ?? registry.get(symbol.slice(0, Math.max(0, symbol.lastIndexOf("."))))?.file;
      return withImports(found, files, symbol);
    }
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      for (const type of registry) {
        if (type.kind === "extension" && type.extendee.typeName === containingType && type.number === extensionNumber) {
          return withImports(type.file, files, type.typeName);
        }
      }
      return notFound(`extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const numbers: number[] = [];
      for (const type of registry) {
        if (type.kind === "extension" && type.extendee.typeName === request.value) numbers.push(type.number);
      }
      if (numbers.length === 0 && registry.getMessage(request.value) === undefined) return notFound(request.value);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: request.value, extensionNumber: numbers } };
    }
    default:
      return {
        case: "errorResponse",
        value: { errorCode: codeRow("invalid_argument").grpc, errorMessage: "the request asks for nothing" },
      };
  }
}

/** A file and everything that it imports, the file first. */
function withImports(found: DescFile | undefined, files: ReadonlyMap<string, DescFile>, name: string): Answer {
  const file = found === undefined ? undefined : files.get(found.proto.name);
  if (file === undefined) return notFound(name);
  const wanted = new Set<DescFile>();
  const collect = (one: DescFile) => {
    if (wanted.has(one)) return;
    wanted.add(one);
    for (const dependency of one.dependencies) collect(dependency);
  };
  collect(file);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: [...wanted].map(one => toBinary(FileDescriptorProtoSchema, one.proto)) },
  };
}

function notFound(name: string): Answer {
  return {
    case: "errorResponse",
    value: { errorCode: codeRow("not_found").grpc, errorMessage: `${name} is not known here` },
  };
}
