import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { listenTo, MemoryFiles } from "../listening.fixture.ts";
import { ScriptedApiServer } from "./api-server.fixture.ts";

const kubeconfig = (user: string) => `
apiVersion: v1
kind: Config
current-context: test
contexts:
- {name: test, context: {cluster: here, user: me, namespace: shop}}
clusters:
- {name: here, cluster: {server: "http://10.0.0.1:6443/base/"}}
users:
- name: me
  user: ${user}
`;

async function world(prepare: (api: ScriptedApiServer) => void, target = "k8s:///orders.shop:grpc") {
  const platform = virtualPlatform();
  const api = new ScriptedApiServer(platform);
  const listening = await api.listen();
  const files = new MemoryFiles();
  files.write("/kube/config", kubeconfig("{tokenFile: token}"));
  files.write("/kube/token", "first\n");
  prepare(api);
  const kubernetes = { kubeconfig: "/kube/config", variables: {} };
  const heard = listenTo(target, { platform, files, kubernetes });
  await platform.clock.settle();
  return { ...heard, platform, api, files, listening };
}

test("slices are listed, then watched from the version of the list, with bookmarks", async () => {
  const { told, api, platform } = await world(api => {
    api.put("a", ["10.1.0.1"]);
    api.put("b", ["10.1.0.2"]);
  });
  assert.deepEqual(told, ["10.1.0.1:80,10.1.0.2:80"]);
  const [list, watch] = api.requests;
  assert.equal(list?.path, "/base/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
  assert.equal(list?.query.get("labelSelector"), "kubernetes.io/service-name=orders");
  assert.equal(list?.token, "first");
  assert.equal(watch?.query.get("resourceVersion"), "102");
  assert.equal(watch?.query.get("allowWatchBookmarks"), "true");
  const seconds = Number(watch?.query.get("timeoutSeconds"));
  assert.ok(seconds >= 300 && seconds <= 600);
  api.put("c", ["10.1.0.3"]);
  api.put("a", []);
  api.remove("b");
  await platform.clock.settle();
  assert.deepEqual(told.slice(1), ["10.1.0.1:80,10.1.0.2:80,10.1.0.3:80", "10.1.0.2:80,10.1.0.3:80", "10.1.0.3:80"]);
  api.remove("c");
  await platform.clock.settle();
  assert.equal(told.at(-1), "", "the API says that there are none");
});

test("an endpoint that moves from one slice to another is never missing and never there twice", async () => {
  const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1", "10.1.0.2"]));
  api.put("b", ["10.1.0.2", "10.1.0.3"]);
  api.put("a", ["10.1.0.1"]);
  api.remove("a");
  await platform.clock.settle();
  assert.deepEqual(told, ["10.1.0.1:80,10.1.0.2:80", "10.1.0.1:80,10.1.0.2:80,10.1.0.3:80", "10.1.0.2:80,10.1.0.3:80"]);
});

test("pages of a list are put together", async () => {
  const { told, api } = await world(api => {
    api.pageSize = 2;
    for (let index = 1; index <= 5; index++) api.put(`s${index}`, [`10.1.0.${index}`]);
  });
  assert.equal(told[0]?.split(",").length, 5);
  assert.equal(api.requests.filter(({ query }) => query.get("watch") === null).length, 3);
});

test("a list without an end is given up", async () => {
  const { errors, api, platform } = await world(api => {
    for (let index = 0; index < 1_100; index++) api.put(`s${index}`, []);
    api.pageSize = 10;
  });
  await platform.clock.settle();
  assert.match(String(errors[0]), /more than 1000 EndpointSlices/);
  assert.equal(api.watches, 0);
});

test("a watch that its server ends goes on from the last version, without a new list and without a word", async () => {
  const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1"]));
  await platform.clock.advance(10_000);
  api.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "777" } } });
  api.endWatches();
  await platform.clock.advance(1_500);
  assert.deepEqual(told, ["10.1.0.1:80"]);
  assert.equal(api.requests.length, 3);
  assert.equal(api.requests.at(-1)?.query.get("resourceVersion"), "777", "a bookmark alone moves the version on");
});

test("a watch that is cut within a line forgets the half, and goes on from the last whole event", async () => {
  const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1"]));
  const whole = JSON.stringify({ type: "DELETED", object: { metadata: { name: "a", resourceVersion: "200" } } });
  api.sendRaw(whole.slice(0, 40));
  await platform.clock.settle();
  api.cutWatches();
  await platform.clock.advance(2_500);
  assert.deepEqual(told, ["10.1.0.1:80", "10.1.0.1:80?", "10.1.0.1:80"]);
  assert.equal(api.requests.at(-1)?.query.get("resourceVersion"), "101");
  assert.equal(api.watches, 1);
});

test("a version that is too old, as an event or as a status, makes everything be listed again", async () => {
  const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1"]));
  const lists = () => api.requests.filter(({ query }) => query.get("watch") === null).length;
  api.slices.delete("a");
  api.slices.set("b", { ...objectOf("b", ["10.1.0.2"]) });
  api.send({ type: "ERROR", object: { kind: "Status", code: 410, message: "too old" } });
  await platform.clock.advance(2_500);
  assert.deepEqual(told, ["10.1.0.1:80", "10.1.0.2:80"]);
  assert.equal(lists(), 2);
  api.watchRefusal = 410;
  api.endWatches();
  await platform.clock.advance(2_500);
  api.watchRefusal = undefined;
  await platform.clock.advance(10_000);
  assert.ok(lists() >= 3);
  assert.equal(told.at(-1), "10.1.0.2:80");
});

function objectOf(name: string, addresses: readonly string[]) {
  return {
    metadata: { name, resourceVersion: "300" },
    addressType: "IPv4",
    ports: [{ name: "grpc", port: 80 }],
    endpoints: addresses.map(address => ({ addresses: [address] })),
  };
}

for (const [what, text] of [
  ["no JSON", "{nonsense\n"],
  ["no event", "[1,2]\n"],
  ["a line without an end", `"${"x".repeat(9 * 1_048_576)}`],
] as const) {
  test(`a watch that sends ${what} is given up, and everything is listed again`, async () => {
    const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1"]));
    api.sendRaw(text);
    await platform.clock.advance(2_500);
    assert.deepEqual(told, ["10.1.0.1:80", "10.1.0.1:80?", "10.1.0.1:80"]);
    assert.equal(api.requests.filter(({ query }) => query.get("watch") === null).length, 2);
  });
}

test("while the API server is away the last endpoints stay, stale; attempts come at growing intervals", async () => {
  const { told, api, platform, listening } = await world(api => api.put("a", ["10.1.0.1"]));
  await listening.close();
  api.cutWatches();
  await platform.clock.advance(300_000);
  assert.deepEqual(told, ["10.1.0.1:80", "10.1.0.1:80?"]);
  await api.listen();
  api.put("a", ["10.1.0.2"]);
  const before = api.requests.length;
  await platform.clock.advance(32_000);
  assert.ok(api.requests.length - before <= 2);
  api.put("a", ["10.1.0.3"]);
  await platform.clock.settle();
  assert.equal(told.at(-1), "10.1.0.3:80");
});

test("a watch that falls silent past its time is given up", async () => {
  const { told, api, platform } = await world(api => api.put("a", ["10.1.0.1"]));
  await platform.clock.advance(640_000);
  assert.ok(api.requests.filter(({ query }) => query.get("watch") === "true").length >= 2);
  assert.equal(told.at(-1), "10.1.0.1:80");
});

test("a token that was rotated is used from the next request on", async () => {
  const { api, platform, files } = await world(api => api.put("a", ["10.1.0.1"]));
  files.write("/kube/token", "second");
  api.endWatches();
  await platform.clock.advance(1_500);
  assert.deepEqual(
    api.requests.map(({ token }) => token),
    ["first", "first", "second"],
  );
});

test("a refusal carries the words of the API server, and is tried again", async () => {
  const { told, errors, api, platform } = await world(api => {
    api.put("a", ["10.1.0.1"]);
    api.refusal = { status: 403, body: '{"kind":"Status","message":"endpointslices is forbidden: User \\"me\\""}' };
  });
  assert.match(
    String(errors[0]),
    /service "orders.shop:grpc" .* the API server answered 403: endpointslices is forbidden: User "me"/,
  );
  api.refusal = undefined;
  await platform.clock.advance(1_500);
  assert.deepEqual(told, ["10.1.0.1:80"]);
});

test("a service that does not exist, and one without the port, say so; both are found when they come", async () => {
  const { told, errors, api, platform } = await world(() => {});
  assert.match(String(errors[0]), /no EndpointSlice of a Service orders\.shop:grpc; does it exist\?/);
  api.put("a", ["10.1.0.1"], { ports: [{ name: "http", port: 80 }] });
  await platform.clock.settle();
  assert.match(String(errors[1]), /the Service orders has no port "grpc"; it has "http"/);
  api.put("a", ["10.1.0.1"]);
  await platform.clock.settle();
  assert.deepEqual(told, ["10.1.0.1:80"]);
});

test("a closed resolver leaves no timer, no connection, no word", async () => {
  const { told, api, platform, resolver } = await world(api => api.put("a", ["10.1.0.1"]));
  resolver.close();
  await platform.clock.advance(1_000);
  assert.equal(platform.clock.pendingTimers, 0);
  assert.equal(api.watches, 0);
  assert.equal(told.length, 1);
  assert.equal(resolver.resolveNow(), false);
});

test("a kubeconfig in YAML or JSON gives server, certificates and namespace; plug-ins are refused by name", async () => {
  const files = new MemoryFiles();
  const platform = virtualPlatform();
  const failure = async (config: string | undefined, context?: string) => {
    if (config !== undefined) files.write("/kube/config", config);
    const { errors, resolver } = listenTo("k8s:///orders:grpc", {
      platform,
      files,
      kubernetes: { kubeconfig: "/kube/config", context, variables: {} },
    });
    await platform.clock.settle();
    resolver.close();
    return String(errors[0]);
  };
  assert.match(await failure(undefined), /this is no pod .* \/kube\/config cannot be read/);
  assert.match(
    await failure(kubeconfig("{exec: {command: aws}}")),
    /user "me" has "exec", which is not supported because it runs a program/,
  );
  assert.match(await failure(kubeconfig("{auth-provider: {name: gcp}}")), /"auth-provider"/);
  assert.match(await failure(kubeconfig("{token: x}"), "other"), /there is no "other" in contexts/);
  assert.match(await failure("a: [1"), /is no kubeconfig/);
  assert.match(await failure("7"), /expected an object/);
  assert.match(await failure(kubeconfig("{}").replace("http://", "ftp://")), /cluster\.server is "ftp:/);
  assert.match(await failure(kubeconfig("{token: x}")), /connection refused/);
  assert.match(await failure(kubeconfig('{token: "a b"}')), /connection refused|bearer token/);
});

test("in a pod the service account is used", async () => {
  const files = new MemoryFiles();
  const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  const variables = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "6443" };
  const { errors, platform } = listenTo("k8s:///orders:grpc", { files, kubernetes: { variables } });
  await platform.clock.settle();
  assert.match(String(errors[0]), /serviceaccount\/(token|ca\.crt)/);
  for (const name of ["token", "ca.crt", "namespace"]) files.write(`${folder}/${name}`, name);
  const second = listenTo("k8s:///orders:grpc", { files, kubernetes: { variables } });
  await second.platform.clock.settle();
  assert.match(String(second.errors[0]), /cannot connect to 10\.96\.0\.1:6443: this network has no TLS/);
});
