import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface TestCertificates {
  /** The root that signed `server` and `client`. */
  readonly ca: string;
  /** For `localhost` and `127.0.0.1`. */
  readonly server: KeyPair;
  /** `CN=orders`, with the name `spiffe://example/orders`. */
  readonly client: KeyPair;
  /** Signed by nobody. */
  readonly stranger: KeyPair;
}

const made = new Map<string, Promise<TestCertificates>>();

/** Certificates for tests, made by the `openssl` command; valid for two days, one set per name and process. */
export function makeCertificates(name = "first"): Promise<TestCertificates> {
  let certificates = made.get(name);
  if (certificates === undefined) {
    certificates = make(name);
    made.set(name, certificates);
  }
  return certificates;
}

async function make(name: string): Promise<TestCertificates> {
  const folder = await mkdtemp(join(tmpdir(), "trunkline-tls-"));
  const openssl = (...args: string[]) => run("openssl", args, { cwd: folder });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const pair = async (file: string): Promise<KeyPair> => ({
    cert: await readFile(join(folder, `${file}.crt`), "utf8"),
    key: await readFile(join(folder, `${file}.key`), "utf8"),
  });
  const signed = async (file: string, subject: string, altNames: string) => {
    await openssl("req", ...newKey, "-subj", subject, "-keyout", `${file}.key`, "-out", `${file}.csr`);
    await writeFile(join(folder, `${file}.ext`), `subjectAltName=${altNames}\n`);
    const signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
    await openssl("x509", "-req", "-in", `${file}.csr`, ...signer, "-extfile", `${file}.ext`, "-out", `${file}.crt`);
    return pair(file);
  };
  try {
    await openssl("req", "-x509", ...newKey, "-subj", `/CN=test root ${name}`, "-keyout", "ca.key", "-out", "ca.crt");
    const server = await signed("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1,IP:::1");
    const client = await signed("client", "/CN=orders", "URI:spiffe://example/orders");
    await openssl(
      "req",
      "-x509",
      ...newKey,
      "-subj",
      "/CN=stranger",
      "-keyout",
      "stranger.key",
      "-out",
      "stranger.crt",
    );
    return { ca: (await pair("ca")).cert, server, client, stranger: await pair("stranger") };
  } finally {
    await rm(folder, { recursive: true });
  }
}
