/**
 * The layers of src/, as rules of dependency-cruiser; `scripts/check-layers.ts` runs it and makes sure that it looked at
 * something. Imports go from upper layers to lower ones only:
 *
 *   errors, platform <- contract, wire, resilience <- calls, events <- gateway, pact, telemetry, simulation <- cli
 *
 * `exports` composes and may import everything; nobody imports it.
 */
const steps = [
  ["errors", "platform"],
  ["contract", "wire", "resilience"],
  ["calls", "events"],
  ["gateway", "pact", "telemetry", "simulation"],
  ["cli"],
];

const group = names => `^src/(${names.join("|")})/`;
const testFile = "[.]test[.]ts$";

/** What a room may import: itself and the steps below it; `errors` is below `platform` for everybody. */
const roomRules = steps.flatMap((rooms, step) =>
  rooms.map(room => {
    const below = steps.slice(0, step).flat();
    const allowed = [room, ...below, ...(room === "errors" ? [] : ["errors"])];
    return {
      name: `layer-${room}`,
      comment: `src/${room} may import only ${allowed.map(name => `src/${name}`).join(", ")}`,
      severity: "error",
      from: { path: `^src/${room}/`, pathNot: testFile },
      to: { path: "^src/", pathNot: group(allowed) },
    };
  }),
);

/** Inside `calls`, from the bottom to the top. */
const callsOrder = [
  ["discovery", "balancing"],
  ["channel"],
  ["rpc"],
  ["rest", "connect-es", "fetch", "auth"],
  ["idempotency"],
];
const callsRules = callsOrder.flatMap((rooms, step) =>
  rooms.map(room => ({
    name: `calls-${room}`,
    comment:
      "inside calls the order is discovery, balancing -> channel -> rpc -> rest, connect-es, fetch, auth -> idempotency",
    severity: "error",
    from: { path: `^src/calls/${room}/`, pathNot: testFile },
    to: { path: "^src/calls/", pathNot: `^src/calls/(${[room, ...callsOrder.slice(0, step).flat()].join("|")})/` },
  })),
);

module.exports = {
  forbidden: [
    ...roomRules,
    ...callsRules,
    {
      name: "no-cycles",
      comment: "files that need each other are one idea",
      severity: "error",
      from: { pathNot: testFile },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "brokers-apart",
      comment: "brokers never import each other",
      severity: "error",
      from: { path: "^src/events/brokers/([^/]+)/", pathNot: testFile },
      to: { path: "^src/events/brokers/", pathNot: "^src/events/brokers/$1/" },
    },
    {
      name: "amqplib-apart",
      comment: "amqplib opens sockets and has timers of its own: one file knows it, behind the port of amqp.ts",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/events/brokers/rabbitmq/amqplib-client[.]ts$", testFile] },
      to: { path: "^node_modules/amqplib/" },
    },
    {
      name: "protocols-apart",
      comment: "protocols of calls/rpc never import each other",
      severity: "error",
      from: { path: "^src/calls/rpc/protocols/([^/]+)/", pathNot: testFile },
      to: { path: "^src/calls/rpc/protocols/[^/]+/", pathNot: "^src/calls/rpc/protocols/$1/" },
    },
    {
      name: "connect-es-apart",
      comment: "@connectrpc/connect is an optional peer: only trunkline/connect needs it",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/calls/connect-es/", testFile] },
      to: { path: "^node_modules/@connectrpc/" },
    },
    {
      name: "kafka-apart",
      comment: "@platformatic/kafka is an optional peer: one file loads it, when a kafka: URL asks for it",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/events/brokers/kafka/client[.]ts$", testFile] },
      to: { path: "^node_modules/@platformatic/" },
    },
    {
      name: "connect-es-by-its-export",
      comment: "who imports trunkline must not need @connectrpc/connect",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/calls/connect-es/", "^src/exports/connect[.]ts$", testFile] },
      to: { path: "^src/calls/connect-es/" },
    },
    {
      name: "http-versions-apart",
      comment: "http1 and http2 know nothing of each other, of sockets or of the transport",
      severity: "error",
      from: { path: "^src/wire/http([12])/", pathNot: testFile },
      to: { path: "^src/wire/", pathNot: ["^src/wire/http$1/", "^src/wire/[^/]+$"] },
    },
    {
      name: "nobody-imports-exports",
      comment: "src/exports composes; what others need belongs into a layer",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/exports/", testFile] },
      to: { path: "^src/exports/" },
    },
    {
      name: "through-the-index",
      comment: "another room is entered through its index.ts (or that of a folder in it)",
      severity: "error",
      from: { path: "^src/(errors|platform|wire|resilience|contract)/", pathNot: testFile },
      to: {
        path: "^src/(errors|platform|resilience|contract)/",
        pathNot: ["^src/$1/", "/index[.]ts$", "^src/contract/gen/"],
      },
    },
    {
      name: "source-is-self-contained",
      comment: "src imports nothing of tests, examples, benchmarks or scripts",
      severity: "error",
      from: { path: "^src/", pathNot: testFile },
      to: { path: "^(test|examples|bench|conformance|scripts)/" },
    },
    {
      name: "resolvable",
      comment: "an import that cannot be found would escape every rule",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // dependency-cruiser cannot use TypeScript 7 and would silently find no modules; swc reads the files instead.
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      extensions: [".ts", ".js", ".mjs", ".cjs", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["trunkline-source", "import", "node", "default", "types"],
    },
  },
};
