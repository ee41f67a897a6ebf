/**
 * Marks errors whose repetition was given up below: because the attempts were used, the budget was empty, or the deadline
 * near. Who sees the mark must not repeat the call in turn, otherwise layers of retries multiply; a server whose handler
 * failed with such an error answers with pushback −1.
 *
 * The mark is a property under a registered symbol, so that copies of this package in one process understand each other.
 */
const mark = Symbol.for("trunkline.outOfRetries");

/** Marks an error, where it can be marked: an object that is not frozen. */
export function markOutOfRetries(error: unknown): void {
  if (typeof error !== "object" || error === null || mark in error || !Object.isExtensible(error)) return;
  Object.defineProperty(error, mark, { value: true, enumerable: false });
}

/** Whether somebody below has given up repeating the work that failed with this error. */
export function isOutOfRetries(error: unknown): boolean {
  return typeof error === "object" && error !== null && mark in error;
}
