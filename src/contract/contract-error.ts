/**
 * A contract that cannot be served: an option with a value that means nothing. The message names file, element, value.
 */
export class ContractError extends Error {
  override readonly name = "ContractError";
}
