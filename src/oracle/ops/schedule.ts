import { ArgumentError } from "../../math/errors.ts";
import { selectTimesteps } from "../../reference/respacing.ts";
import { MAX_T } from "../../reference/schedule.ts";
import { choiceField, type Fields, integerField, numbersField, valueOf } from "../fields.ts";
import { scheduleField } from "../options.ts";
import type { Result } from "../result.ts";

/** Most steps whose tables are sent: about 25 MB of text. */
const MAX_SENT = 100_000;
const SPACINGS = ["leading", "trailing", "linspace", "quadratic", "stride", "sections"] as const;

/** The tables of a schedule, one entry per kept time, ascending. */
export function scheduleOp(request: Fields): Result {
  const s = scheduleField(request);
  if (s.timesteps.length > MAX_SENT) {
    throw new ArgumentError(
      `Expected at most ${MAX_SENT} steps in a table but got ${s.timesteps.length}`,
    );
  }
  return {
    timesteps: s.timesteps,
    beta: s.beta,
    alpha: s.alpha,
    alphaBar: s.alphaBar,
    betaTilde: s.betaTilde,
    logBetaTildeClipped: s.logBetaTildeClipped,
    posteriorCoefX0: s.posteriorCoefX0,
    posteriorCoefXt: s.posteriorCoefXt,
    sqrtAlphaBar: s.sqrtAlphaBar,
    sqrtOneMinusAlphaBar: s.sqrtOneMinusAlphaBar,
    snr: s.snr,
  };
}

/** The times that a shorter process keeps, descending. */
export function timestepsOp(request: Fields): Result {
  const T = integerField(request, "T", 1, MAX_T);
  const spacing = choiceField(request, "spacing", SPACINGS);
  const sections = spacing === "sections" && valueOf(request, "sections") !== undefined
    ? numbersField(request, "sections")
    : undefined;
  const steps = sections !== undefined && valueOf(request, "steps") === undefined
    ? undefined
    : integerField(request, "steps", 1, T);
  return { timesteps: selectTimesteps({ T, spacing, steps, sections }) };
}
