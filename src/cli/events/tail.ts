import type { StoredRecord } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, type CommandInput, type Terminal, UsageError } from "../command.ts";
import { attributesView, bodyLine, bodyView, isoTime, shown } from "../event-view.ts";
import { contractOption, KnownEvents } from "../known-events.ts";
import { durationMs, momentMs, wholeNumber } from "../option-values.ts";
import { printableJson } from "../printable.ts";

export const tail: Command = {
  name: "events tail",
  summary: "Show events as they come, without taking them from anybody.",
  usage: "[topic…]",
  description: [
    "Reads topics without belonging to a group, until Ctrl-C, --limit or --idle ends it. Without topics it reads those of the",
    "contracts. With contracts, bodies are read as a consumer would read them, and what it could not read is said. On",
    "RabbitMQ, which keeps nothing for those who come later, --from beginning and --since cannot be had.",
  ].join("\n"),
  options: {
    ...brokerOptions,
    ...contractOption,
    from: { value: "where", choices: ["beginning", "now"], help: "Where to begin (default: now)." },
    since: { value: "time", help: "Begin with events stored since: 15m (ago), or 2026-01-31T08:00Z." },
    type: { short: "t", value: "type", isMultiple: true, help: "Only events of this type; repeat it for several." },
    key: { short: "k", value: "key", help: "Only events of this key." },
    limit: { short: "n", value: "count", help: "End after so many events." },
    idle: { value: "time", help: "End when nothing has come for so long, as in 2s." },
    json: { help: "One JSON object a line, with all that is known of the event." },
  },
  examples: [
    "trunkline events tail orders --broker sqlite:./events.db",
    "trunkline events tail --contract proto --type order.created --since 1h --json",
    "trunkline events tail orders --from beginning --idle 1s --key 123",
  ],
  run: runTail,
};

async function runTail(input: CommandInput, terminal: Terminal): Promise<void> {
  const { clock } = terminal.platform;
  const sinceMs = momentMs(input, "since", clock.wall());
  const limit = wholeNumber(input, "limit", 1) ?? Number.POSITIVE_INFINITY;
  const idleMs = durationMs(input, "idle");
  const from = (input.one("from") ?? (sinceMs === undefined ? "now" : "beginning")) as "beginning" | "now";
  const types = input.all("type");
  const key = input.one("key");
  if (input.arguments.length === 0 && input.all("contract").length === 0) {
    throw new UsageError("name a topic, or a --contract whose topics are meant");
  }
  const known = await KnownEvents.of(input, terminal);
  const topics = input.arguments.length > 0 ? input.arguments : (known?.topics() ?? []);
  const show = input.one("json") === undefined ? textLine : jsonLine;
  const idle = new AbortController();
  const signal = AbortSignal.any([terminal.signal, idle.signal]);
  const arm = () => (idleMs === undefined ? undefined : clock.after(idleMs, () => idle.abort(), true));
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    let shownCount = 0;
    let timer = arm();
    try {
      for await (const record of broker.tail(topics, { from, signal })) {
        timer?.cancel();
        if (isWanted(record, types, key, sinceMs)) {
          await terminal.out(`${await show(record, known)}\n`);
          if (++shownCount >= limit || signal.aborted) return;
        }
        timer = arm();
      }
    } catch (error) {
      // However a broker's reader ends when it is told to: it was told to.
      if (!signal.aborted) throw error;
    } finally {
      timer?.cancel();
    }
  });
}

function isWanted(
  { attributes, key, storedAtMs }: StoredRecord,
  types: readonly string[],
  wantedKey: string | undefined,
  sinceMs: number | undefined,
): boolean {
  if (wantedKey !== undefined && key !== wantedKey) return false;
  if (sinceMs !== undefined && storedAtMs !== undefined && storedAtMs < sinceMs) return false;
  return types.length === 0 || types.includes(attributes.type ?? "");
}

async function textLine(record: StoredRecord, known: KnownEvents | undefined): Promise<string> {
  const judged = await known?.judge(record);
  const { attributes, key, place, storedAtMs } = record;
  const time = isoTime(storedAtMs ?? attributes.timeMs);
  const words = [shown(time), shown(place), shown(attributes.type), shown(key), bodyLine(record.body, judged)];
  return judged?.problem === undefined ? words.join(" ") : `${words.join(" ")} ! ${shown(judged.problem)}`;
}

async function jsonLine(record: StoredRecord, known: KnownEvents | undefined): Promise<string> {
  const { attributes, key, place, storedAtMs, topic, fallbackId } = record;
  const stored = isoTime(storedAtMs);
  const view = attributesView(attributes);
  const body = await bodyView(record, known);
  return printableJson({ topic, place, key, stored_at: stored, ...view, id: attributes.id ?? fallbackId, ...body });
}
