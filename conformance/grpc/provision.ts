import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";

/** What the referees need that is not in the checkout: Go programs, Python packages, generated code. All git-ignored. */
const folder = import.meta.dirname;
const root = path.join(folder, "../..");
const tools = path.join(folder, "../.tools");
const grpcGo = "v1.76.0";
const goPlugins = {
  "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.10",
  "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1",
};
const pythonPackages = ["grpcio==1.76.0", "grpcio-tools==1.76.0"];

export interface Provisions {
  readonly goInteropClient: string;
  readonly goInteropServer: string;
  readonly goGuideClient: string;
  readonly goGuideServer: string;
  readonly goRetryClient: string;
  readonly goRetryServer: string;
  /** Folder for PYTHONPATH. */
  readonly python: string;
  /** Certificates of grpc-go's tests, for the name `foo.test.google.fr`. */
  readonly certificates: { readonly ca: string; readonly cert: string; readonly key: string };
}

function step(
  title: string,
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: options.cwd ?? root,
    encoding: "utf8",
    env: { ...process.env, ...options.env },
  });
  if (status !== 0) throw new Error(`${title} failed:\n${stderr ?? ""}`, { cause: error });
  return stdout.trim();
}

function goInstall(name: string, module: string, folder = tools): string {
  const program = path.join(folder, name);
  if (!existsSync(program)) {
    process.stdout.write(`installing ${module}\n`);
    step(`installing ${module} (is Go there?)`, "go", ["install", module], { env: { GOBIN: folder } });
  }
  return program;
}

/** Runs buf on a folder of protos with plugins of this machine. */
function generate(protos: string, plugins: readonly object[]): void {
  const bin = path.join(root, "node_modules/.bin");
  const template = JSON.stringify({ version: "v2", plugins });
  step(`generating from ${protos}`, path.join(bin, "buf"), ["generate", protos, "--template", template], {
    env: { PATH: `${bin}:${tools}:${process.env.PATH}` },
  });
}

function typescript(): void {
  const out = path.join(folder, "gen");
  rmSync(out, { recursive: true, force: true });
  const opt = ["target=ts", "import_extension=ts", "erasable_syntax=true"];
  const plugin = { local: "protoc-gen-es", out, opt };
  generate(path.join(folder, "interop.proto"), [plugin]);
  generate(path.join(folder, "retry/retry.proto"), [plugin]);
}

/** A folder's client and server in Go, with the code of its proto; what is generated and `go.sum` are git-ignored. */
function goPrograms(name: string, proto: string, generated: string): { client: string; server: string } {
  for (const [plugin, module] of Object.entries(goPlugins)) goInstall(plugin, module);
  const sources = path.join(folder, name);
  const out = path.join(sources, generated);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  const opt = ["paths=source_relative"];
  generate(path.join(sources, proto), [
    { local: "protoc-gen-go", out, opt },
    { local: "protoc-gen-go-grpc", out, opt },
  ]);
  const build = (side: string): string => {
    const program = path.join(tools, `${name}-${side}`);
    step(`building ${name}/${side}`, "go", ["build", "-mod=mod", "-o", program, `./${side}`], { cwd: sources });
    return program;
  };
  return { client: build("client"), server: build("server") };
}

function python(): string {
  const target = path.join(tools, "python");
  if (!existsSync(path.join(target, "grpc_tools"))) {
    process.stdout.write(`installing ${pythonPackages.join(" ")}\n`);
    const args = ["-m", "pip", "install", "--quiet", "--no-input", "--target", target, ...pythonPackages];
    step("installing grpcio (are Python 3 and pip there?)", "python3", args);
  }
  const guide = path.join(folder, "guide");
  const args = ["-m", "grpc_tools.protoc", `-I${guide}`, `--python_out=${target}`, `--grpc_python_out=${target}`];
  step("generating Python", "python3", [...args, path.join(guide, "order.proto")], { env: { PYTHONPATH: target } });
  return target;
}

export function provision(): Provisions {
  const grpcTools = path.join(tools, `grpc-${grpcGo}`);
  const module = "google.golang.org/grpc";
  const goInteropClient = goInstall("client", `${module}/interop/client@${grpcGo}`, grpcTools);
  const goInteropServer = goInstall("server", `${module}/interop/server@${grpcGo}`, grpcTools);
  typescript();
  const guide = goPrograms("guide", "order.proto", "orderpb");
  const retry = goPrograms("retry", "retry.proto", "retrypb");
  const listed = step("finding grpc-go", "go", ["mod", "download", "-json", `${module}@${grpcGo}`]);
  const testdata = path.join((JSON.parse(listed) as { Dir: string }).Dir, "testdata");
  return {
    goInteropClient,
    goInteropServer,
    goGuideClient: guide.client,
    goGuideServer: guide.server,
    goRetryClient: retry.client,
    goRetryServer: retry.server,
    python: python(),
    certificates: {
      ca: path.join(testdata, "ca.pem"),
      cert: path.join(testdata, "server1.pem"),
      key: path.join(testdata, "server1.key"),
    },
  };
}
