import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { provision } from "./provision.ts";

export interface Slice {
  readonly name: string;
  readonly service: string;
  readonly port: number;
  readonly portName?: string;
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  readonly address: string;
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  readonly zone?: string;
}

/** A real API server with its etcd. No controllers run: slices are what the test writes. */
export class Cluster implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "trunkline-kubernetes-"));
  readonly #programs = provision();
  #ports: { readonly etcd: number; readonly peer: number; readonly api: number } | undefined;
  #etcd: ChildProcess | undefined;
  #apiServer: ChildProcess | undefined;

  get kubeconfig(): string {
    return join(this.folder, "kubeconfig.yaml");
  }

  async start(): Promise<void> {
    this.#ports = { etcd: await freePort(), peer: await freePort(), api: await freePort() };
    const { etcd, peer } = this.#ports;
    const urls = (port: number) => `http://127.0.0.1:${port}`;
    const args = [
      ["--data-dir", join(this.folder, "etcd")],
      ["--listen-client-urls", urls(etcd)],
      ["--advertise-client-urls", urls(etcd)],
      ["--listen-peer-urls", urls(peer)],
    ].flat();
    this.#etcd = spawn(this.#programs.etcd, args, { stdio: "ignore" });
    execFileSync("openssl", ["genrsa", "-out", join(this.folder, "sa.key"), "2048"], { stdio: "ignore" });
    mkdirSync(join(this.folder, "certs"));
    this.#makeClientCertificate();
    this.writeTokens("first");
    this.#writeKubeconfig();
    await this.startApiServer();
  }

  /** The tokens that the API server takes from its next start on, and the one in the token file. */
  writeTokens(token: string): void {
    writeFileSync(join(this.folder, "tokens.csv"), `${token},admin,admin,system:masters\n`);
    writeFileSync(join(this.folder, "token"), token);
  }

  async startApiServer(): Promise<void> {
    const { etcd, api } = this.#ports ?? { etcd: 0, api: 0 };
    this.#apiServer = spawn(
      this.#programs.apiServer,
      [
        `--etcd-servers=http://127.0.0.1:${etcd}`,
        "--service-account-issuer=https://kubernetes.test",
        `--service-account-key-file=${join(this.folder, "sa.key")}`,
        `--service-account-signing-key-file=${join(this.folder, "sa.key")}`,
        `--client-ca-file=${join(this.folder, "client-ca.crt")}`,
        `--token-auth-file=${join(this.folder, "tokens.csv")}`,
        "--authorization-mode=AlwaysAllow",
        `--secure-port=${api}`,
        "--bind-address=127.0.0.1",
        `--cert-dir=${join(this.folder, "certs")}`,
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
      ],
      { stdio: "ignore" },
    );
    for (let attempt = 0; attempt < 240; attempt++) {
      if (this.#apiServer.exitCode !== null) throw new Error(`kube-apiserver ended with ${this.#apiServer.exitCode}`);
      try {
        await this.call("GET", "/readyz");
        return;
      } catch {
        await sleep(500);
      }
    }
    throw new Error("kube-apiserver is not ready after two minutes");
  }

  async stopApiServer(): Promise<void> {
    const child = this.#apiServer;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }

  /** Creates or replaces a slice. */
  async put(slice: Slice): Promise<void> {
    const path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    const body = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: slice.name, labels: { "kubernetes.io/service-name": slice.service } },
      addressType: "IPv4",
      ports: [{ name: slice.portName ?? "grpc", port: slice.port, protocol: "TCP" }],
      endpoints: slice.endpoints.map(({ address, ...rest }) => ({ addresses: [address], ...rest })),
    };
    try {
      await this.call("PUT", `${path}/${slice.name}`, body);
    } catch {
      await this.call("POST", path, body);
    }
  }

  async delete(name: string): Promise<void> {
    await this.call("DELETE", `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/${name}`);
  }

  /** A request with a client that is not ours. @throws (rejects) Error with the answer when it is not 2xx */
  call(method: string, path: string, body?: unknown): Promise<string> {
    const token = readFileSync(join(this.folder, "token"), "utf8");
    const { api } = this.#ports ?? { api: 0 };
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: "127.0.0.1", port: api, method, path, headers, rejectUnauthorized: false, timeout: 10_000 },
        answer => {
          let text = "";
          answer.setEncoding("utf8").on("data", (piece: string) => {
            text += piece;
          });
          answer.on("end", () => {
            const { statusCode = 0 } = answer;
            if (statusCode >= 200 && statusCode < 300) resolve(text);
            else reject(new Error(`${method} ${path}: ${statusCode} ${text.slice(0, 300)}`));
          });
        },
      );
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  [Symbol.dispose](): void {
    this.#apiServer?.kill("SIGKILL");
    this.#etcd?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #makeClientCertificate(): void {
    const make = (command: string) =>
      execFileSync("openssl", command.split(" "), { cwd: this.folder, stdio: "ignore" });
    make("req -x509 -newkey rsa:2048 -nodes -keyout client-ca.key -out client-ca.crt -subj /CN=clients -days 2");
    make("req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /O=system:masters/CN=me");
    make("x509 -req -in client.csr -CA client-ca.crt -CAkey client-ca.key -CAcreateserial -out client.crt -days 2");
  }

  #writeKubeconfig(): void {
    const { api } = this.#ports ?? { api: 0 };
    // The API server signs its own certificate, for the names that pods use; it is also its root.
    const config = `apiVersion: v1
kind: Config
current-context: token
contexts:
- {name: token, context: {cluster: test, user: token}}
- {name: certificate, context: {cluster: test, user: certificate, namespace: default}}
- {name: stranger, context: {cluster: test}}
clusters:
- name: test
  cluster:
    server: https://127.0.0.1:${api}
    certificate-authority: certs/apiserver.crt
    tls-server-name: kubernetes.default.svc
users:
- {name: token, user: {tokenFile: token}}
- {name: certificate, user: {client-certificate: client.crt, client-key: client.key}}
`;
    writeFileSync(this.kubeconfig, config);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
