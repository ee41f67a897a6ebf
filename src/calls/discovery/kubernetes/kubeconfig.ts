import { dirname, resolve } from "node:path";
import type { Files } from "../file/files.ts";
import { credentialBytesMax } from "../limits.ts";
import type { ApiAccess } from "./credentials.ts";
import { isJsonObject } from "./endpoint-slice.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * The access that a context of a kubeconfig describes: certificate authority, client certificate, token or token file.
 * Plug-ins (`exec`, `auth-provider`) are refused: they would run programs that a file names.
 * @throws (rejects) Error naming the file and the member
 */
export async function readKubeconfig(path: string, context: string | undefined, files: Files): Promise<ApiAccess> {
  let text: string;
  try {
    text = await files.read(path, credentialBytesMax);
  } catch (cause) {
    throw new Error(
      `the Kubernetes API cannot be found: this is no pod (KUBERNETES_SERVICE_HOST is not set), and ${path} cannot be read`,
      { cause },
    );
  }
  const config = await parse(text, path);
  const contextName = context ?? config["current-context"];
  const used = named(config, "contexts", "context", contextName, path);
  const cluster = named(config, "clusters", "cluster", used.cluster, path);
  const user = used.user === undefined ? {} : named(config, "users", "user", used.user, path);
  for (const plugin of ["exec", "auth-provider"]) {
    if (user[plugin] !== undefined) {
      throw new Error(
        `${path}: user ${JSON.stringify(used.user)} has "${plugin}", which is not supported because it runs a program; ` +
          "use a token, a token file or a client certificate, for example of a service account",
      );
    }
  }
  const file = (name: string) => files.read(resolve(dirname(path), name), credentialBytesMax);
  /** The member `name`, or what is in the file that it names. */
  const material = async (owner: Json, name: string): Promise<string | undefined> => {
    const data = owner[`${name}-data`];
    if (typeof data === "string") return Buffer.from(data, "base64").toString("utf8");
    const from = owner[name];
    return typeof from === "string" ? file(from) : undefined;
  };
  const url = serverUrl(cluster.server, path);
  const [ca, cert, key] = await Promise.all([
    material(cluster, "certificate-authority"),
    material(user, "client-certificate"),
    material(user, "client-key"),
  ]);
  const serverName = cluster["tls-server-name"];
  const { namespace } = used;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
    basePath: url.pathname.replace(/\/+$/, ""),
    tls:
      url.protocol === "http:"
        ? undefined
        : {
            ca,
            cert,
            key,
            verify: cluster["insecure-skip-tls-verify"] !== true,
            serverName: typeof serverName === "string" ? serverName : undefined,
          },
    bearerToken:
      typeof user.tokenFile === "string"
        ? (await file(user.tokenFile)).trim()
        : typeof user.token === "string"
          ? user.token
          : undefined,
    namespace: typeof namespace === "string" ? namespace : "default",
  };
}

function serverUrl(server: unknown, path: string): URL {
  const url = typeof server === "string" ? URL.parse(server) : null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new Error(`${path}: cluster.server is ${JSON.stringify(server)}, not an http or https URL`);
  }
  return url;
}

/** The entry called `name` in one of the lists. */
function named(config: Json, list: string, member: string, name: unknown, path: string): Json {
  const entries: unknown = config[list];
  const entry = Array.isArray(entries)
    ? entries.find((one: unknown): one is Json => isJsonObject(one) && one.name === name)
    : undefined;
  const value = entry?.[member];
  if (!isJsonObject(value)) throw new Error(`${path}: there is no ${JSON.stringify(name) ?? "current"} in ${list}`);
  return value;
}

async function parse(text: string, path: string): Promise<Json> {
  let config: unknown;
  try {
    config = text.trimStart().startsWith("{") ? JSON.parse(text) : (await yamlParser(path))(text);
  } catch (cause) {
    throw new Error(`${path} is no kubeconfig: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(config)) throw new Error(`${path} is no kubeconfig: expected an object`);
  return config;
}

/** The package is optional: in a pod there is no YAML to read. */
async function yamlParser(path: string): Promise<(text: string) => unknown> {
  try {
    const { parse } = await import("yaml");
    // Anchors that multiply would make gigabytes of some lines.
    return text => parse(text, { maxAliasCount: 100 }) as unknown;
  } catch (cause) {
    throw new Error(
      `reading YAML needs the package "yaml" (npm install yaml); or write JSON: kubectl config view --raw -o json > ${path}`,
      { cause },
    );
  }
}
