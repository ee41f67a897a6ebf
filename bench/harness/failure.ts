/** The line of an error that says what is wrong, without the paths of this machine: results are published. */
export function failureOf(error: unknown): string {
  const lines = (error instanceof Error ? error.message : String(error)).split("\n").map(line => line.trim());
  const telling = lines.find(line => /^\S*(error|fatal)\b.*[:[]/i.test(line)) ?? lines.find(line => line !== "") ?? "";
  return telling
    .replaceAll(/(file:\/\/)?\/[^\s'"]*\//g, "")
    .replaceAll("|", "/")
    .slice(0, 200);
}
