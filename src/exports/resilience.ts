/** `trunkline/resilience`: policies for any function, together and each alone. */
export * from "../resilience/index.ts";
