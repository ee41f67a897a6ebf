// Generates TypeScript from the .proto files: the library's own and the shop's. Runs on Node >= 20.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printProto } from "./print-proto.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What contracts import from Google's common protos; buf gets just these from the npm package. */
const googleProtos = [
  "google/api/annotations.proto",
  "google/api/http.proto",
  "google/api/httpbody.proto",
  "google/rpc/code.proto",
  "google/rpc/error_details.proto",
  "google/rpc/status.proto",
];

const googleFolder = join(root, ".build/google");
rmSync(googleFolder, { recursive: true, force: true });
for (const file of googleProtos) {
  const target = join(googleFolder, file);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(join(root, "node_modules/google-proto-files", file), target);
}

// The rules of protovalidate: no npm package has their text, but one has their descriptor.
const validateFile = join(root, ".build/validate/buf/validate/validate.proto");
mkdirSync(dirname(validateFile), { recursive: true });
writeFileSync(validateFile, printProto(file_buf_validate_validate.proto));

/** @param {string} title @param {string[]} args */
function buf(title, args) {
  const result = spawnSync(join(root, "node_modules/.bin/buf"), args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
  });
  if (result.status !== 0) {
    process.stderr.write(`generating ${title} failed:\n${result.error?.message ?? ""}${result.stdout}${result.stderr}`);
    process.exit(1);
  }
}

/** @param {string} out a folder, emptied first @param {string[]} modules folders with .proto files */
function generate(out, modules) {
  rmSync(join(root, out), { recursive: true, force: true });
  const template = JSON.stringify({
    version: "v2",
    plugins: [
      {
        local: "protoc-gen-es",
        out,
        include_imports: true,
        opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
      },
    ],
  });
  for (const module of modules) buf(module, ["generate", module, "--template", template]);
}

generate("src/contract/gen", [".build/google", "proto"]);
generate("examples/shop/src/gen", ["examples/shop/proto"]);
generate("test/gen", ["test/proto"]);
