// How long a service takes from the start of its process until it listens, beside a Node process that does nothing:
//     node bench/start.ts [rounds]
// The package is the built one (npm run build), because users start that. The contract is the one of test/package.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildFolder, rootFolder } from "./harness/folders.ts";

const folder = join(buildFolder, "start");
const program = join(rootFolder, "dist/cli/bin.js");
if (!existsSync(program)) {
  process.stderr.write("dist/ is missing: npm run build\n");
  process.exit(1);
}

const generate = ["generate", join(rootFolder, "test/package/consumer/proto"), "--target", "js", "--out", "gen"];
const contract = "./gen/greeting/v1/greeting_pb.js";
const report = `const { userCPUTime, systemCPUTime } = process.resourceUsage();
console.log(JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1000 })); process.exit();`;
const service = (validation: boolean) => `import { createServer, implement } from "trunkline";
import { GreetingService } from "${contract}";
const server = createServer({ services: [implement(GreetingService, {})], validation: ${validation} });
await server.listen({ port: 0, host: "127.0.0.1" });
${report}`;
const starts: Readonly<Record<string, string>> = {
  "an empty process": report,
  "@bufbuild/protobuf and the contract alone": `import "${contract}"; import "@bufbuild/protobuf";\n${report}`,
  "a service without buf.validate rules": service(false),
  "a service with them": service(true),
};

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
const generated = spawnSync(process.execPath, [program, ...generate], { cwd: folder, encoding: "utf8" });
if (generated.status !== 0) throw new Error(generated.stderr);
const names = Object.keys(starts);
for (const [index, name] of names.entries()) writeFileSync(join(folder, `${index}.js`), starts[name] ?? "");

const wall = new Map<string, number[]>(names.map(name => [name, []]));
const cpu = new Map<string, number[]>(names.map(name => [name, []]));
const rounds = Number(process.argv[2] ?? 15);
for (let round = 0; round < rounds; round++) {
  for (const [index, name] of names.entries()) {
    const startedAt = performance.now();
    const { stdout, stderr, status } = spawnSync(process.execPath, [join(folder, `${index}.js`)], { encoding: "utf8" });
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
    wall.get(name)?.push(performance.now() - startedAt);
    cpu.get(name)?.push((JSON.parse(stdout) as { readonly cpuMs: number }).cpuMs);
  }
}

const sorted = (values: readonly number[] = []) => values.toSorted((a, b) => a - b);
const median = (values: readonly number[]) => values[values.length >> 1] ?? Number.NaN;
const empty = median(sorted(wall.get(names[0] ?? "")));
for (const name of names) {
  const times = sorted(wall.get(name));
  const figures = `${median(times).toFixed(0)} ms (${times[0]?.toFixed(0)} to ${times.at(-1)?.toFixed(0)})`;
  const ratio = `${(median(times) / empty).toFixed(1)} x`;
  process.stdout.write(
    `${name.padEnd(44)}${figures.padEnd(22)}${ratio.padEnd(8)}CPU ${median(sorted(cpu.get(name))).toFixed(0)} ms\n`,
  );
}
