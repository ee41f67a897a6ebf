import process from "node:process";

/** The checks of a run, told line by line and counted. */
export class Tally {
  #passed = 0;
  #failed = 0;

  report(title: string, problem?: string): void {
    if (problem === undefined) this.#passed++;
    else this.#failed++;
    process.stdout.write(problem === undefined ? `ok ${title}\n` : `FAILED ${title}: ${problem}\n`);
  }

  /** Passes unless `run` throws. */
  readonly check = async (title: string, run: () => Promise<unknown>): Promise<void> => {
    try {
      await run();
      this.report(title);
    } catch (error) {
      this.report(title, error instanceof Error ? error.message : String(error));
    }
  };

  /** Tells the count and ends the process: with 0 when something was checked and nothing has failed. */
  end(name?: string): never {
    const count = `${this.#passed} passed, ${this.#failed} failed`;
    process.stdout.write(name === undefined ? `${count}\n` : `${name}: ${count}\n`);
    process.exit(this.#failed === 0 && this.#passed > 0 ? 0 : 1);
  }
}
