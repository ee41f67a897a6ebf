import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { makeCertificates } from "../../../test/certificates.ts";
import { isRpcError } from "../../errors/index.ts";
import { createServer } from "../../exports/server.ts";
import type { PeerCertificate } from "../../platform/index.ts";
import { Channel } from "../channel/index.ts";
import { type Call, createClient, type Handlers, implement, Metadata, type Principal } from "../rpc/index.ts";
import { authenticate } from "./authenticate.ts";
import { type ClientCertificateOptions, clientCertificate } from "./client-certificate.ts";
import { type GuardedClient, GuardedService, type Text } from "./guarded.fixture.ts";

const certificates = await makeCertificates();

/** Who an authenticator sees behind a certificate, or the code of its refusal. */
async function subjectOf(certificate: Partial<PeerCertificate> | undefined, options: ClientCertificateOptions = {}) {
  const peerCertificate = certificate && {
    subject: "CN=orders",
    subjectAltNames: [],
    fingerprint256: "ab".repeat(32),
    raw: new Uint8Array(),
    ...certificate,
  };
  const tls = { alpn: undefined, serverName: undefined, version: "TLSv1.3", peerCertificate };
  const call = { peer: { address: "127.0.0.1", port: 1, tls }, metadata: new Metadata() } as unknown as Call;
  try {
    return (await clientCertificate(options).identify(call))?.subject;
  } catch (error) {
    assert.ok(isRpcError(error));
    return error.code;
  }
}

describe("the subject of a certificate", () => {
  const spiffe = "URI:spiffe://example/orders";
  const cases: readonly (readonly [string, Partial<PeerCertificate> | undefined, string | undefined])[] = [
    ["is its SPIFFE ID", { subjectAltNames: ["DNS:orders", spiffe] }, "spiffe://example/orders"],
    ["is otherwise its first URI", { subjectAltNames: ["DNS:orders", "URI:urn:a", "URI:urn:b"] }, "urn:a"],
    ["is otherwise its first DNS name", { subjectAltNames: ["IP Address:::1", "DNS:orders", "DNS:b"] }, "orders"],
    ["is otherwise its own", {}, "CN=orders"],
    ["must be something", { subject: "" }, "unauthenticated"],
    ["is not ambiguous", { subjectAltNames: [spiffe, "URI:spiffe://example/other"] }, "unauthenticated"],
    ["is nobody where none was sent", undefined, undefined],
  ];
  for (const [title, certificate, subject] of cases) {
    test(title, async () => assert.equal(await subjectOf(certificate), subject));
  }
});

test("a list says exactly which certificates count", async () => {
  const orders = { subjectAltNames: ["URI:spiffe://example/shop/orders", "DNS:orders.shop"] };
  for (const allow of [
    ["spiffe://example/shop/orders"],
    ["spiffe://example/shop/*"],
    ["orders.shop"],
    ["ab".repeat(32)],
    ({ dnsNames }: { readonly dnsNames: readonly string[] }) => dnsNames.includes("orders.shop"),
  ]) {
    assert.equal(await subjectOf(orders, { allow }), "spiffe://example/shop/orders");
  }
  for (const allow of [
    [],
    ["spiffe://example/shop"],
    ["spiffe://example/sho*"],
    ["CN=orders"],
    ["shop"],
    () => false,
  ]) {
    assert.equal(await subjectOf(orders, { allow }), "permission_denied");
  }
});

interface Seen {
  readonly client: GuardedClient;
  readonly principals: (Principal | undefined)[];
}

/** A server that asks for certificates, and a client of it that shows one, or none. */
async function serve(
  shown: { readonly cert: string; readonly key: string } | undefined,
  clientAuth: "require" | "request",
  options: ClientCertificateOptions,
): Promise<Seen> {
  const principals: (Principal | undefined)[] = [];
  const noted = ({ value }: Text, call: Call) => {
    principals.push(call.principal);
    return { value };
  };
  const handlers = { one: noted, write: noted } as unknown as Handlers<typeof GuardedService>;
  const server = createServer({
    services: [implement(GuardedService, handlers)],
    tls: { ...certificates.server, clientCa: certificates.ca, clientAuth },
    interceptors: [authenticate(clientCertificate(options))],
  });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const channel = new Channel(`localhost:${port}`, { tls: { ca: certificates.ca, ...shown } });
  after(async () => {
    channel.close();
    await server.close();
  });
  return { client: createClient(GuardedService, channel) as unknown as GuardedClient, principals };
}

describe("over real TLS connections", () => {
  test("the handler sees who shows a certificate of the CA", async () => {
    const { client, principals } = await serve(certificates.client, "require", { scopes: () => ["text.read"] });
    assert.equal((await client.one({ value: "a" })).value, "a");
    const [principal] = principals;
    assert.equal(principal?.kind, "certificate");
    assert.equal(principal?.subject, "spiffe://example/orders");
    assert.deepEqual(principal?.scopes, ["text.read"]);
    assert.equal(principal?.claims["subject"], "CN=orders");
    assert.match(String(principal?.claims["fingerprint256"]), /^[0-9a-f]{64}$/);
    await assert.rejects(client.write({ value: "a" }), error => isRpcError(error, "permission_denied"));
  });

  test("a certificate of nobody's does not even connect", async () => {
    const { client } = await serve(certificates.stranger, "require", {});
    await assert.rejects(client.one({ value: "a" }), error => isRpcError(error, "unavailable"));
  });

  test("where certificates are optional, one of nobody's is as good as none", async () => {
    for (const shown of [certificates.stranger, undefined]) {
      const { client } = await serve(shown, "request", {});
      await assert.rejects(client.one({ value: "a" }), error => {
        assert.ok(isRpcError(error, "unauthenticated"));
        return error.metadata["www-authenticate"] === 'ClientCertificate realm="guarded.TextService"';
      });
    }
  });

  test("a certificate that is not on the list is refused", async () => {
    const { client } = await serve(certificates.client, "require", { allow: ["spiffe://example/customers"] });
    await assert.rejects(client.one({ value: "a" }), error => isRpcError(error, "permission_denied"));
  });
});
