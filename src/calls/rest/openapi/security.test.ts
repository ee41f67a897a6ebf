import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileService } from "../../../contract/index.ts";
import { GuardedService } from "../../auth/guarded.fixture.ts";
import { authenticate, clientCertificate, jwt } from "../../auth/index.ts";
import { RestRoutes } from "../routes.ts";
import { openApiDocument } from "./document.ts";
import { docsPage } from "./page.ts";
import type { OpenApiSecurity } from "./security.ts";

const routes = new RestRoutes([compileService(GuardedService)], {}).all;

function documentWith(security?: OpenApiSecurity) {
  const document = openApiDocument(routes, { security });
  const operation = (name: string) => {
    const found = document.paths[`/guarded/${name}`]?.["post"];
    assert.ok(found);
    return found;
  };
  return { document, operation, schemes: document.components.securitySchemes };
}

describe("how callers prove who they are", () => {
  test("is a bearer token for marked methods, where nobody says more", () => {
    const { operation, schemes } = documentWith();
    assert.deepEqual(schemes, { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } });
    assert.deepEqual(operation("one").security, [{ bearer: [] }]);
    assert.deepEqual(operation("write").security, [{ bearer: ["text.write", "text.read"] }]);
    assert.equal(operation("open").security, undefined);
    assert.equal(operation("silent").security, undefined);
  });

  test("is what the interceptor asks for, each way an alternative", () => {
    const issuer = "https://login.example.com/tenant/";
    const { authentication } = authenticate([jwt({ issuer, audience: "text" }), clientCertificate()]);
    const { operation, schemes } = documentWith(authentication);
    assert.deepEqual(schemes, {
      bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      openIdConnect: {
        type: "openIdConnect",
        openIdConnectUrl: "https://login.example.com/tenant/.well-known/openid-configuration",
      },
      mutualTLS: { type: "mutualTLS" },
    });
    const alternatives = [{ bearer: [] }, { openIdConnect: [] }, { mutualTLS: [] }];
    assert.deepEqual(operation("one").security, alternatives);
    assert.deepEqual(operation("silent").security, alternatives, "it guards all methods");
    assert.equal(operation("open").security, undefined);
  });

  test("has a name for each of several issuers", () => {
    const issuers = ["https://a.example", "https://b.example"].map(issuer => jwt({ issuer, audience: "text" }));
    const { schemes = {} } = documentWith(authenticate(issuers).authentication);
    assert.deepEqual(Object.keys(schemes), ["bearer", "openIdConnect", "openIdConnect2"]);
  });
});

test("guarded operations answer 401 and 403 with a challenge, others do not", () => {
  const { document, operation } = documentWith();
  assert.deepEqual(operation("one").responses["401"], { $ref: "#/components/responses/Unauthenticated" });
  assert.deepEqual(operation("one").responses["403"], { $ref: "#/components/responses/Forbidden" });
  assert.ok(document.components.responses["Unauthenticated"]?.headers?.["WWW-Authenticate"]);
  assert.equal(operation("open").responses["401"], undefined);
});

test("the page has a field for the token of guarded operations alone", () => {
  const { html } = docsPage(documentWith().document, () => "hash");
  assert.equal(html.split('data-in="token"').length - 1, 5);
  assert.match(html, /Needs <code>bearer<\/code> with <code>text\.write text\.read<\/code>/);
});
