import process from "node:process";

/** Counts what passed and failed, and prints each. */
export class Verdicts {
  passed = 0;
  failed = 0;

  async check(name: string, run: () => Promise<string | undefined>): Promise<void> {
    try {
      const detail = await run();
      this.passed++;
      process.stdout.write(`ok ${name}${detail === undefined ? "" : ` (${detail})`}\n`);
    } catch (error) {
      this.failed++;
      process.stdout.write(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }

  /** The last line of a run. */
  finish(): void {
    process.stdout.write(`${this.passed} passed, ${this.failed} failed\n`);
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}
