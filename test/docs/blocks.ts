/** A fenced code block of a page. */
export interface Block {
  /** As in `docs/start.md:12`. */
  readonly place: string;
  readonly line: number;
  /** First word of the info string. */
  readonly language: string;
  /** The words behind it. */
  readonly words: readonly string[];
  readonly text: string;
}

const opening = /^(\s*)(`{3,}|~{3,})\s*(.*)$/;

/**
 * Every fenced code block of a Markdown text (CommonMark, section 4.5), also of those in lists.
 * @param page its name, for messages
 * @throws Error for a fence that is not closed: the rest of the page would be taken for code
 */
export function fencedBlocks(page: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split(/\r?\n/);
  for (let at = 0; at < lines.length; at++) {
    const match = opening.exec(lines[at] ?? "");
    if (match === null) continue;
    const [, indent = "", fence = "", info = ""] = match;
    const line = at + 1;
    const isClosing = (text: string) => {
      const marks = text.trim();
      return marks.startsWith(fence) && marks === fence.charAt(0).repeat(marks.length);
    };
    const code: string[] = [];
    for (at++; !isClosing(lines[at] ?? ""); at++) {
      const text = lines[at];
      if (text === undefined) throw new Error(`${page}:${line}: the code block is not closed with ${fence}`);
      code.push(text.slice(0, indent.length).trim() === "" ? text.slice(indent.length) : text);
    }
    const [language = "", ...words] = info.trim().split(/\s+/);
    blocks.push({ place: `${page}:${line}`, line, language, words, text: `${code.join("\n")}\n` });
  }
  return blocks;
}
