/** `trunkline/events`: publish and handle events of a contract, over the broker that a URL names. */
export { ContractError } from "../contract/index.ts";
export * from "../events/index.ts";
