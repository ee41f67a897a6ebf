import type { DescMessage } from "@bufbuild/protobuf";
import { type FieldPlan, fieldValue, type Local } from "../codec/plan.ts";
import { isZero } from "../codec/presence.ts";
import type { Check } from "./check.ts";
import { listCheck, mapCheck } from "./collection-rules.ts";
import type { DeclaredRules } from "./declared-rules.ts";
import { ignoreAlways, ignoreIfZero, singleCheck } from "./value-rules.ts";

/** Whether a field counts as set. @param value as `fieldValue` gives it */
export function isSet(plan: FieldPlan, value: unknown): boolean {
  if (plan.kind === "list") return (value as readonly unknown[] | undefined)?.length !== 0 && value !== undefined;
  if (plan.kind === "map") return value !== undefined && Object.keys(value as object).length > 0;
  if (plan.presence === "implicit" && plan.oneof === undefined) return value !== undefined && !isZero(plan, value);
  return value !== undefined;
}

/** @param messageCheck the check of messages of a type, by their own rules */
export function fieldCheck(
  plan: FieldPlan,
  rules: DeclaredRules,
  isInGroup: boolean,
  messageCheck: (desc: DescMessage) => Check | undefined,
): Check | undefined {
  const { desc } = plan;
  const ignore = rules.get("ignore") ?? (isInGroup ? ignoreIfZero : 0);
  // Compiled also when it is ignored: a mistake in it is found all the same.
  const check = valueCheck(plan, rules, messageCheck);
  if (ignore === ignoreAlways) return undefined;
  const isRequired = rules.get("required") === true;
  if (check === undefined && !isRequired) return undefined;
  const isTracked = plan.presence !== "implicit" || plan.oneof !== undefined;
  const isSkippedUnset = ignore === ignoreIfZero || isTracked;
  return (message, judgement) => {
    const value = fieldValue(message as Local, plan);
    if ((isRequired || isSkippedUnset) && !isSet(plan, value)) {
      if (!isRequired) return;
      judgement.enter(desc);
      judgement.violated("required", "value is required");
      judgement.leave();
      return;
    }
    if (check === undefined) return;
    judgement.enter(desc);
    check(value, judgement);
    judgement.leave();
  };
}

function valueCheck(
  plan: FieldPlan,
  rules: DeclaredRules,
  messageCheck: (desc: DescMessage) => Check | undefined,
): Check | undefined {
  const { desc } = plan;
  switch (desc.fieldKind) {
    case "list":
      return listCheck(desc, rules, messageCheck);
    case "map":
      return mapCheck(desc, rules, messageCheck);
    default:
      return singleCheck(desc, rules, plan.holding === "wrapper", plan.longAsString, messageCheck);
  }
}
