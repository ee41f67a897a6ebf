import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { rootFolder } from "./folders.ts";

/** The part of V8's .cpuprofile that a flame graph needs. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly title: string;
  totalUs: number;
  readonly children: Map<string, Frame>;
}

/** Turns every .cpuprofile below the folder into an SVG beside it; returns the files written, relative to the root. */
export function writeFlameGraphs(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const profiles = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(name =>
    name.endsWith(".cpuprofile"),
  );
  return profiles.map(name => {
    const target = join(folder, name.replace(/cpuprofile$/, "svg"));
    writeFileSync(target, flameGraph(JSON.parse(readFileSync(join(folder, name), "utf8")) as CpuProfile));
    return relative(rootFolder, target);
  });
}

const widthPx = 1600;
const rowPx = 16;

/** Icicle layout, callers above; equal stacks are merged, so width is CPU time and not order in time. */
export function flameGraph(profile: CpuProfile): string {
  const root = merge(profile);
  const boxes: string[] = [];
  let depthMax = 0;
  const draw = (frame: Frame, x: number, depth: number) => {
    const width = (frame.totalUs / root.totalUs) * widthPx;
    if (width < 0.5) return;
    depthMax = Math.max(depthMax, depth);
    const share = ((100 * frame.totalUs) / root.totalUs).toFixed(1);
    const label = escaped(frame.title.slice(0, Math.floor(width / 7)));
    const hue = [...frame.title].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 60, 7);
    boxes.push(
      `<g><title>${escaped(frame.title)} ${share} %</title><rect x="${x.toFixed(1)}" y="${depth * rowPx}" width="${width.toFixed(1)}" height="${rowPx - 1}" fill="hsl(${hue},80%,65%)"/>` +
        `<text x="${(x + 2).toFixed(1)}" y="${depth * rowPx + 12}">${label}</text></g>`,
    );
    let childX = x;
    for (const child of [...frame.children.values()].sort((a, b) => b.totalUs - a.totalUs)) {
      draw(child, childX, depth + 1);
      childX += (child.totalUs / root.totalUs) * widthPx;
    }
  };
  draw(root, 0, 0);
  const heightPx = (depthMax + 1) * rowPx;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPx}" height="${heightPx}" font-family="monospace" font-size="11">\n${boxes.join("\n")}\n</svg>\n`;
}

function merge(profile: CpuProfile): Frame {
  const parents = new Map<number, number>();
  const titles = new Map<number, string>();
  for (const { id, callFrame, children } of profile.nodes) {
    const place = callFrame.url === "" ? "" : ` ${basename(callFrame.url)}:${callFrame.lineNumber + 1}`;
    titles.set(id, `${callFrame.functionName || "(anonymous)"}${place}`);
    for (const child of children ?? []) parents.set(child, id);
  }
  const root: Frame = { title: "all", totalUs: 0, children: new Map() };
  for (const [index, sample] of profile.samples.entries()) {
    const elapsedUs = Math.max(0, profile.timeDeltas[index] ?? 0);
    const stack: string[] = [];
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) stack.push(titles.get(id) ?? "?");
    if (stack[0] === "(idle)") continue;
    let frame = root;
    frame.totalUs += elapsedUs;
    for (const title of stack.reverse().slice(1)) {
      let child = frame.children.get(title);
      if (child === undefined) {
        child = { title, totalUs: 0, children: new Map() };
        frame.children.set(title, child);
      }
      child.totalUs += elapsedUs;
      frame = child;
    }
  }
  return root;
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
