import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { HistoryEntry } from "../../src/exports/broker-conformance.ts";
import { JournalReader, JournalWriter } from "./journal.ts";

function journal(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "journal-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "soak.journal");
}

const confirmed = (id: string): HistoryEntry => ({ what: "confirmed", id });

test("a journal is read as far as it has been written, each entry once", t => {
  const path = journal(t);
  const reader = new JournalReader(path);
  assert.deepEqual([...reader.entries()], []);
  const writer = new JournalWriter(path);
  writer.write(confirmed("a"));
  assert.deepEqual([...reader.entries()], [confirmed("a")]);
  writer.write(confirmed("b"));
  writer.write(confirmed("c"));
  assert.deepEqual([...reader.entries()], [confirmed("b"), confirmed("c")]);
  assert.deepEqual([...reader.entries()], []);
  reader.close();
});

test("entries of several processes have the sequence of their writes", t => {
  const path = journal(t);
  const [one, other] = [new JournalWriter(path), new JournalWriter(path)];
  one.write(confirmed("a"));
  other.write(confirmed("b"));
  one.write(confirmed("c"));
  assert.deepEqual([...new JournalReader(path).entries()], ["a", "b", "c"].map(confirmed));
});

test("half a line, which a killed process has left, spoils no other", t => {
  const path = journal(t);
  new JournalWriter(path).write(confirmed("a"));
  appendFileSync(path, '{"what":"confirmed","i');
  const reader = new JournalReader(path);
  assert.deepEqual([...reader.entries()], [confirmed("a")]);
  new JournalWriter(path).write(confirmed("b"));
  assert.deepEqual([...reader.entries()], [confirmed("b")]);
});

test("entries that lie across pieces of reading are whole", t => {
  const path = journal(t);
  const writer = new JournalWriter(path);
  const entries = Array.from({ length: 5_000 }, (_, number) => confirmed(`größte-${number}`));
  for (const entry of entries) writer.write(entry);
  assert.deepEqual([...new JournalReader(path).entries()], entries);
});
