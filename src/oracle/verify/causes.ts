import type { Evidence } from "./session.ts";
import type { Judge } from "./judge.ts";
import type { Precision } from "./model.ts";

/** A known mistake whose answers the candidate gives. */
export function causeOf(
  _judge: Judge,
  _precision: Precision,
  _evidence: readonly Evidence[],
): string | null {
  return null;
}
