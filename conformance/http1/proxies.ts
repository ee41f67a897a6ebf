import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianProgram } from "../debian.ts";

/** A proxy of other people in front of a server of ours. */
export interface FrontProxy {
  readonly name: string;
  readonly port: number;
  stop(): void;
}

/** Starts nginx and haproxy in front of `backendPort`; `missing` says of each that cannot be installed how to. */
export async function startProxies(backendPort: number): Promise<{ proxies: FrontProxy[]; missing: string[] }> {
  const proxies: FrontProxy[] = [];
  const missing: string[] = [];
  for (const [name, start] of [
    ["nginx", startNginx],
    ["haproxy", startHaproxy],
  ] as const) {
    let program: string;
    try {
      program = debianProgram(name, name);
    } catch (error) {
      missing.push((error as Error).message);
      continue;
    }
    proxies.push(await start(program, backendPort));
  }
  return { proxies, missing };
}

async function startNginx(program: string, backendPort: number): Promise<FrontProxy> {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-nginx-"));
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    kind => `${kind}_temp_path ${join(folder, kind)};`,
  );
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off;
master_process off;
pid ${join(folder, "pid")};
error_log ${join(folder, "error.log")};
events { worker_connections 512; }
http {
  access_log off;
  ${paths.join("\n  ")}
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 8; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_request_buffering off;
    }
  }
}
`,
  );
  const child = spawn(program, ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: "ignore" });
  return running("nginx", port, child, folder);
}

async function startHaproxy(program: string, backendPort: number): Promise<FrontProxy> {
  const folder = mkdtempSync(join(tmpdir(), "trunkline-haproxy-"));
  const port = await freePort();
  writeFileSync(
    join(folder, "haproxy.cfg"),
    `global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  option http-keep-alive
  http-reuse always
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server ours 127.0.0.1:${backendPort}
`,
  );
  const child = spawn(program, ["-db", "-f", join(folder, "haproxy.cfg")], { stdio: "ignore" });
  return running("haproxy", port, child, folder);
}

async function running(name: string, port: number, child: ChildProcess, folder: string): Promise<FrontProxy> {
  const stop = (): void => {
    child.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < 100; attempt++) {
    if (child.exitCode !== null) break;
    if (await accepts(port)) return { name, port, stop };
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  stop();
  throw new Error(`${name} does not listen on port ${port} (exit code ${child.exitCode})`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
