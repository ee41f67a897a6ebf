import { spawnSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { debianProgram } from "../debian.ts";

const tools = path.join(import.meta.dirname, "../.tools");
const goPackage = "k8s.io/kubernetes/cmd/kube-apiserver";

/** The programs of a Kubernetes API: etcd of Debian, and the API server out of its Go modules, built once in some 8 minutes. */
export function provision(): { readonly etcd: string; readonly apiServer: string } {
  const etcd = debianProgram("etcd", "etcd-server");
  const apiServer = path.join(tools, "kube-apiserver");
  if (existsSync(apiServer)) return { etcd, apiServer };
  process.stdout.write(`building ${goPackage} (about 8 minutes, once)\n`);
  // Go writes sums beside the module, so it works on a copy.
  const source = path.join(tools, "apiserver-src");
  rmSync(source, { recursive: true, force: true });
  cpSync(path.join(import.meta.dirname, "apiserver"), source, { recursive: true });
  const { status, error } = spawnSync("go", ["build", "-o", apiServer, goPackage], {
    cwd: source,
    env: { ...process.env, GOFLAGS: "-mod=mod" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) throw new Error(`${goPackage} could not be built; is Go installed?`, { cause: error });
  return { etcd, apiServer };
}
