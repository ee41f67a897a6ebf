import { homedir } from "node:os";
import { join } from "node:path";
import { Environment, type TlsClientOptions, type Variables } from "../../../platform/index.ts";
import type { Files } from "../file/files.ts";
import { credentialBytesMax } from "../limits.ts";
import { readKubeconfig } from "./kubeconfig.ts";

/** How `k8s:///` targets reach the API server. */
export interface KubernetesOptions {
  /**
   * Path of a kubeconfig, in YAML (needs the package `yaml`) or JSON.
   * @default in a pod its service account, elsewhere $KUBECONFIG or ~/.kube/config
   */
  readonly kubeconfig?: string | undefined;
  /** Which of its contexts. @default its current one */
  readonly context?: string | undefined;
  /** The client's own zone: endpoints whose hints name it are used alone. @default hints are not obeyed */
  readonly zone?: string | undefined;
  /** Which addresses of a dual-stack Service. @default IPv4 where there are any */
  readonly family?: 4 | 6 | undefined;
  /** @default those of the process */
  readonly variables?: Variables | undefined;
}

/** The API server, and who we are to it. Read anew for every list, because all of it is rotated. */
export interface ApiAccess {
  readonly host: string;
  readonly port: number;
  /** Before every path; empty, or begins with a slash. */
  readonly basePath: string;
  readonly tls: TlsClientOptions | undefined;
  readonly bearerToken: string | undefined;
  /** Of targets that name none. */
  readonly namespace: string;
}

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** @throws (rejects) Error that says which file or variable is missing or wrong */
export async function readApiAccess(options: KubernetesOptions, files: Files): Promise<ApiAccess> {
  const environment = new Environment(options.variables, "");
  const host = environment.text("KUBERNETES_SERVICE_HOST");
  if (options.kubeconfig !== undefined || host === undefined) {
    const path = options.kubeconfig ?? environment.text("KUBECONFIG") ?? join(homedir(), ".kube", "config");
    return readKubeconfig(path, options.context, files);
  }
  const read = (name: string) => files.read(`${serviceAccount}/${name}`, credentialBytesMax);
  const [token, ca, namespace] = await Promise.all([
    read("token"),
    read("ca.crt"),
    read("namespace").catch(() => "default"),
  ]);
  return {
    host,
    port: environment.integer("KUBERNETES_SERVICE_PORT", 1, 65_535) ?? 443,
    basePath: "",
    tls: { ca },
    bearerToken: token.trim(),
    namespace: namespace.trim(),
  };
}
