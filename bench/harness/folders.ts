import { join } from "node:path";

export const benchFolder = join(import.meta.dirname, "..");
export const rootFolder = join(benchFolder, "..");
/** What the runner builds and downloads; git-ignored. */
export const buildFolder = join(benchFolder, ".build");
export const toolsFolder = join(benchFolder, ".tools");
export const resultsFolder = join(benchFolder, "results");
