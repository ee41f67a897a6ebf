import type { DescMessage } from "@bufbuild/protobuf";
import { UncompiledRule } from "./check.ts";
import { RulesReader } from "./declared-rules.ts";
import { Judgement, type RuleViolation } from "./judgement.ts";
import { MessageRules } from "./message-rules.ts";

/** The check of a message by its standard rules; `undefined` when it has, or messages in it have, rules beyond those. */
export function compiledRules(desc: DescMessage): ((message: object) => readonly RuleViolation[]) | undefined {
  try {
    const check = new MessageRules(new RulesReader(desc.file)).check(desc);
    return message => {
      const judgement = new Judgement();
      check?.(message, judgement);
      return judgement.violations;
    };
  } catch (error) {
    if (error instanceof UncompiledRule) return undefined;
    throw error;
  }
}
