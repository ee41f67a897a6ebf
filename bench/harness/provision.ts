import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { benchFolder, buildFolder, rootFolder, toolsFolder } from "./folders.ts";

const goPlugins = [
  "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
  "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
];
/** What the contracts import, by folder; the root's set-up has made the second. */
const importedProtos = {
  "node_modules/google-proto-files": ["google/api/annotations.proto", "google/api/http.proto"],
  ".build/validate": ["buf/validate/validate.proto"],
  proto: ["trunkline/v1/options.proto"],
};

/**
 * Installs the peers, generates code and builds the Go programs: what is there already is left alone.
 * @param peers those that take part; `undefined`: all
 */
export function provision(say: (line: string) => void, peers?: readonly string[]): void {
  if (isOlder("node_modules/.package-lock.json", "package-lock.json")) {
    say("installing the peers");
    run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--workspaces=false"]);
  }
  if (isOlder("gen/bench_pb.ts", "proto/bench.proto") || isOlder("gen/bench_rest_pb.ts", "proto/bench_rest.proto")) {
    say("generating TypeScript");
    for (const [folder, files] of Object.entries(importedProtos)) {
      for (const file of files) {
        const target = join(buildFolder, "imported", file);
        mkdirSync(dirname(target), { recursive: true });
        copyFileSync(join(rootFolder, folder, file), target);
      }
    }
    const opt = ["target=ts", "import_extension=ts", "erasable_syntax=true"];
    generate([], [{ local: "protoc-gen-es", out: "gen", include_imports: true, opt }]);
  }
  if (peers === undefined || peers.some(name => name.startsWith("grpc-go"))) provisionGo(say);
  for (const [program, debianPackage] of [
    ["h2load", "nghttp2-client"],
    ["wrk", "wrk"],
  ] as const) {
    if (isInstalled(program)) continue;
    if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
      say(`${program} is missing (Debian: apt-get install ${debianPackage}); its scenarios will be reported as failed`);
      continue;
    }
    say(`installing ${debianPackage}`);
    run("apt-get", ["install", "-y", "--no-install-recommends", debianPackage]);
  }
}

function provisionGo(say: (line: string) => void): void {
  const sources = ["server/main.go", "client/main.go", "go.mod", "../../proto/bench.proto"];
  const program = join(buildFolder, "grpc-go-client");
  if (sources.every(source => !isOlder(program, join("peers/grpc-go", source)))) return;
  if (!isInstalled("go")) {
    say("go is missing; the rows of grpc-go will be reported as failed");
    return;
  }
  say("building grpc-go's programs");
  for (const plugin of goPlugins) run("go", ["install", plugin], { GOBIN: join(toolsFolder, "bin") });
  const opt = ["paths=source_relative", "Mbench.proto=trunkline.bench/grpcgo/gen"];
  const out = "peers/grpc-go/gen";
  generate(
    ["--path", "proto/bench.proto"],
    [
      { local: join(toolsFolder, "bin/protoc-gen-go"), out, opt },
      { local: join(toolsFolder, "bin/protoc-gen-go-grpc"), out, opt },
    ],
  );
  for (const role of ["server", "client"]) {
    run("go", ["build", "-C", "peers/grpc-go", "-o", join(buildFolder, `grpc-go-${role}`), `./${role}`]);
  }
}

function generate(args: readonly string[], plugins: readonly object[]): void {
  const template = JSON.stringify({ version: "v2", plugins });
  run(join(rootFolder, "node_modules/.bin/buf"), ["generate", "proto", ...args, "--template", template]);
}

/** Writes the gRPC request that h2load repeats: one uncompressed `GetOrderRequest`. */
export function writeRequestBody(orderId: string): string {
  const text = Buffer.from(orderId);
  const message = Buffer.concat([Buffer.from([0x0a, text.length]), text]);
  const file = join(buildFolder, "get-order.grpc");
  mkdirSync(buildFolder, { recursive: true });
  writeFileSync(file, Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  return file;
}

function isOlder(file: string, source: string): boolean {
  const [made, from] = [file, source].map(path => (path.startsWith("/") ? path : join(benchFolder, path))) as [
    string,
    string,
  ];
  return !existsSync(made) || readFileSync(made).length === 0 || statSync(made).mtimeMs < statSync(from).mtimeMs;
}

function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

function run(program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): void {
  const path = `${join(rootFolder, "node_modules/.bin")}:${process.env.PATH}`;
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: benchFolder,
    encoding: "utf8",
    env: { ...process.env, PATH: path, ...environment },
  });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${error?.message ?? ""}${stdout}${stderr}`);
}
