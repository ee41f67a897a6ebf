/**
 * The standard rules of `buf.validate` as closures. What protovalidate finds, these find: the same violations, messages and
 * order (`rules.test.ts` compares them); it stays the judge of messages with anything that is not compiled here. Imports
 * `codec/` for how messages hold their fields. Start at `compiled-rules.ts`, then `message-rules.ts`.
 */
export { compiledRules } from "./compiled-rules.ts";
export { hasRules } from "./declared-rules.ts";
export { pathText, type RuleViolation } from "./judgement.ts";
