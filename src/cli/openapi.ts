import type { DescService } from "@bufbuild/protobuf";
import type { OpenApiOptions } from "../calls/rest/index.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "./command.ts";
import { outputOptions, writeDocument } from "./document-output.ts";

export const openapi: Command = {
  name: "openapi",
  summary: "Print the OpenAPI 3.1 document of services.",
  usage: "<contract…>",
  description: [
    "The document is what a server of these services has at /openapi.json. A contract is",
    "  a folder of .proto files (where their imports begin; needs the package @bufbuild/buf),",
    "  a file with a descriptor set, as `buf build -o contract.binpb` writes it; - reads one from the standard input,",
    "  a module (.js, .mjs, .ts) that exports services, such as generated code,",
    "  or the http:// or https:// address of a running server with gRPC reflection.",
  ].join("\n"),
  options: {
    service: {
      short: "s",
      value: "name",
      isMultiple: true,
      help: "Only this service, fully qualified; repeat it for several, in their order in the document.",
    },
    title: { value: "text", help: "Title of the API (default: the names of the services)." },
    version: { value: "text", help: "Version of the API (default: 1.0.0)." },
    description: { value: "text", help: "Description of the API." },
    server: { value: "url", isMultiple: true, help: "Where the API is served (default: where the document is)." },
    ...outputOptions,
  },
  examples: [
    "trunkline openapi proto --service order.OrderService --title Orders --output openapi.json",
    "buf build -o - | trunkline openapi -",
    "trunkline openapi http://127.0.0.1:8080 --server https://api.example.com",
  ],
  run: runOpenApi,
};

async function runOpenApi(input: CommandInput, terminal: Terminal): Promise<void> {
  if (input.arguments.length === 0) throw new UsageError("name a contract: a folder, a file, - or an address");
  // Loaded only here, so that --help and the other commands start without the contract's machinery.
  const [{ loadServices }, { compileService, ContractError }, { RestRoutes }, { openApiDocument }] = await Promise.all([
    import("./contract-source.ts"),
    import("../contract/index.ts"),
    import("../calls/rest/index.ts"),
    import("../calls/rest/openapi/document.ts"),
  ]);
  const found: DescService[] = [];
  for (const source of input.arguments) found.push(...(await loadServices(source, terminal)));
  const services = choose(found, input.all("service"));
  try {
    const routes = new RestRoutes(services.map(compileService));
    if (routes.all.length === 0) {
      throw new CommandError(
        `no method of ${namesOf(services)} has a google.api.http rule; REST routes come from option (google.api.http) of methods`,
      );
    }
    const document = openApiDocument(routes.all, documentOptions(input));
    writeDocument(document, input, terminal);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    throw new CommandError(`${error.message}${services.length > 1 ? "; choose services with --service" : ""}`, {
      cause: error,
    });
  }
}

function choose(found: readonly DescService[], wanted: readonly string[]): readonly DescService[] {
  const byName = new Map(found.map(service => [service.typeName, service]));
  if (byName.size === 0)
    throw new CommandError("there is no service in the contract; name the contract that declares one");
  if (wanted.length === 0) return [...byName.values()];
  return wanted.map(name => {
    const service = byName.get(name);
    if (service === undefined) {
      throw new CommandError(`there is no service "${name}"; the contract has ${namesOf([...byName.values()])}`);
    }
    return service;
  });
}

function namesOf(services: readonly DescService[]): string {
  return services.map(({ typeName }) => typeName).join(", ");
}

function documentOptions(input: CommandInput): OpenApiOptions {
  const urls = input.all("server");
  return {
    title: input.one("title"),
    version: input.one("version"),
    description: input.one("description"),
    servers: urls.length === 0 ? undefined : urls.map(url => ({ url })),
  };
}
