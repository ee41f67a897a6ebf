import assert from "node:assert/strict";
import { parseSync } from "@swc/core";
import { parse as parseYaml } from "yaml";
import { RunningServer, run } from "./children.ts";
import { compareOutput } from "./output.ts";
import type { Project } from "./project.ts";
import type { Step } from "./steps.ts";

/** Runs the steps of one page, in order, in its project. */
export class PageRun {
  readonly #project: Project;
  #server: RunningServer | undefined;

  constructor(project: Project) {
    this.#project = project;
  }

  /** @throws what is wrong with the step, beginning with its place */
  async run(step: Step): Promise<void> {
    const { folder, env, withPort, write } = this.#project;
    const shown = (outputs: Extract<Step, { outputs: unknown }>["outputs"]) =>
      outputs.map(output => ({ ...output, text: withPort(output.text) }));
    switch (step.kind) {
      case "file":
        write(step.name, step.text);
        break;
      case "program": {
        const { exitCode, stdout, stderr } = await run(`node ${step.name}`, folder, env);
        assert.equal(exitCode, 0, `${step.place}: the program failed\n${stdout}${stderr}`);
        compareOutput(shown(step.outputs), stdout);
        break;
      }
      case "commands": {
        if (step.lines.length === 0) break;
        const script = `exec 2>&1\nset -e\n${step.lines.map(withPort).join("\n")}`;
        const { exitCode, stdout } = await run(script, folder, env);
        assert.equal(exitCode, step.exitCode, `${step.place}: exit code ${exitCode}\n${stdout}`);
        compareOutput(shown(step.outputs), stdout);
        break;
      }
      case "server":
        await this.end();
        this.#server = await RunningServer.start(withPort(step.command), folder, env);
        compareOutput(shown(step.outputs), this.#server.stdout);
        break;
      case "before":
      case "excerpt":
        if (step.language === "ts") parseTypeScript(step.place, step.text);
        else if (step.language === "yaml") parseYaml(step.text, { strict: true });
        else await this.#parseProto(step.place, step.text);
        break;
    }
  }

  async #parseProto(place: string, text: string): Promise<void> {
    const { folder, env, write } = this.#project;
    write("excerpt/excerpt.proto", `syntax = "proto3";\n${text}`);
    const { exitCode, stderr } = await run("buf format excerpt", folder, env);
    assert.equal(exitCode, 0, `${place}: ${stderr}`);
  }

  /** Ends the page's server. */
  async end(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.stop();
  }
}

function parseTypeScript(place: string, text: string): void {
  try {
    parseSync(text, { syntax: "typescript", decorators: true });
  } catch (error) {
    assert.fail(`${place}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
