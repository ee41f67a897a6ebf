import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { silentObserver, systemPlatform } from "../../../platform/index.ts";
import { virtualPlatform } from "../../../platform/virtual/index.ts";
import { createResolver } from "../create-resolver.ts";
import { endpointKey } from "../endpoint-list.ts";
import { listenTo, MemoryFiles } from "../listening.fixture.ts";
import { parseTarget } from "../target.ts";
import { parseEndpoints } from "./endpoints-document.ts";
import { systemFiles } from "./files.ts";

const path = "/endpoints.json";

test("a file is followed: replaced, half written, garbage, removed, back again", async () => {
  const files = new MemoryFiles();
  const platform = virtualPlatform();
  files.write(
    path,
    '{"endpoints": ["a:1", {"address": "b", "port": 2, "weight": 3, "priority": 2, "zone": "z", "metadata": {"k": "v"}}]}',
  );
  const { told, lists, errors } = listenTo("file:///endpoints.json", { files, platform });
  await platform.clock.settle();
  assert.deepEqual(told, ["a:1,b:2"]);
  const { weight, priority, zone, metadata } = lists[0]?.[1] ?? {};
  assert.deepEqual([weight, priority, zone, metadata], [3, 2, "z", { k: "v" }]);
  assert.equal(lists[0]?.[0]?.priority, 0);
  const steps: readonly (readonly [text: string | undefined, told: readonly string[]])[] = [
    ['["c:3"]', ["c:3"]],
    ['["c:3","d:', ["c:3?"]],
    ["", []],
    ["not JSON", []],
    ['["c:3", 7]', []],
    [undefined, []],
    ['["c:3", "d:4"]', ["c:3,d:4"]],
    ["[]", [""]],
    ['["e:5", "e:5"]', ["e:5"]],
  ];
  for (const [text, expected] of steps) {
    const before = told.length;
    if (text === undefined) files.remove(path);
    else files.write(path, text);
    await platform.clock.advance(2_500);
    assert.deepEqual(told.slice(before), expected, `after ${text}`);
  }
  assert.deepEqual(errors, []);
});

test("a file that is not there names its path, and is found when it comes", async () => {
  const files = new MemoryFiles();
  const platform = virtualPlatform();
  const { told, errors } = listenTo("file:///endpoints.json", { files, platform });
  await platform.clock.settle();
  assert.match(String(errors[0]), /ServiceDiscoveryError: service "endpoints.json" .*ENOENT.*\/endpoints.json/);
  files.write(path, '["a:1"]');
  await platform.clock.advance(1_500);
  assert.deepEqual(told, ["a:1"]);
});

const mistakes: readonly (readonly [document: string, message: RegExp])[] = [
  ["{}", /expected a list of endpoints/],
  ["7", /expected a list of endpoints/],
  ['["a"]', /target "endpoints\[0\]": "a" is not host:port/],
  ["[null]", /endpoints\[0\]: expected "host:port" or an object, got null/],
  ['[{"address": "a b", "port": 1}]', /endpoints\[0\]\.address: expected an IP address or a name, got "a b"/],
  ['[{"address": "a", "port": "1"}]', /endpoints\[0\]\.port: expected an integer from 1 to 65535, got "1"/],
  ['[{"address": "a", "port": 1, "weight": 0}]', /weight: expected a number above 0/],
  ['[{"address": "a", "port": 1, "priority": -1}]', /priority: expected an integer from 0 to 65535, got -1/],
  ['[{"address": "a", "port": 1, "priority": 1.5}]', /priority: expected an integer from 0 to 65535, got 1\.5/],
  ['[{"address": "a", "port": 1, "priority": 65536}]', /priority: expected/],
  ['[{"address": "a", "port": 1, "priority": "1"}]', /priority: expected/],
  ['[{"address": "a", "port": 1, "zone": 1}]', /zone: expected a string/],
  ['[{"address": "a", "port": 1, "hostname": "x\\r\\ny"}]', /hostname: expected a host name/],
  ['[{"address": "a", "port": 1, "metadata": {"k": 1}}]', /metadata\.k: expected a string, got 1/],
  [
    `[{"address": "a", "port": 1, "metadata": {"k": "${"x".repeat(9000)}"}}]`,
    /metadata: expected at most 8192 characters/,
  ],
];
for (const [document, message] of mistakes) {
  test(`a document is refused by the name of its member: ${document.slice(0, 60)}`, () => {
    assert.throws(() => parseEndpoints(document), message);
  });
}

test("any JSON is a list of endpoints or refused with an Error", () => {
  fc.assert(
    fc.property(fc.json(), text => {
      try {
        for (const { address, port } of parseEndpoints(text)) assert.ok(address !== "" && port > 0);
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof assert.AssertionError));
      }
    }),
  );
});

test("on a real file system, a file that is replaced is seen, and one that is too large is refused", async t => {
  const folder = await mkdtemp(join(tmpdir(), "trunkline-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "endpoints.json");
  await writeFile(file, '["a:1"]');
  const resolver = createResolver(
    parseTarget(`file://${file}`),
    {},
    { platform: systemPlatform, observer: silentObserver },
  );
  t.after(() => resolver.close());
  const stay = setTimeout(() => {}, 20_000); // a resolver alone does not keep a process alive
  t.after(() => clearTimeout(stay));
  const seen: string[] = [];
  await new Promise<void>((resolve, reject) =>
    resolver.start({
      endpoints(list) {
        seen.push(list.map(endpointKey).join());
        if (seen.length === 2) resolve();
        else writeFile(`${file}.new`, '["b:2"]').then(() => rename(`${file}.new`, file), reject);
      },
      failed: reject,
    }),
  );
  assert.deepEqual(seen, ["a:1", "b:2"]);
  await assert.rejects(systemFiles.read(file, 3), /larger than 3 bytes/);
  assert.equal(await systemFiles.read(file, 7), '["b:2"]');
});
