import { type Bounds, type BoundsOf, type Model } from "../model.ts";
import { type Approx, exact } from "../rounding.ts";
import type { Fields } from "../../fields.ts";

/** Bounds of `schedule`. */
export const scheduleBounds: BoundsOf = {
  formula: "β of the rule, ᾱ = Πα, and the tables that follow, each rounded once more",
  bounds: (request: Fields, model: Model): Bounds => {
    const process = model.schedule(request), { c } = model;
    const steps = Array.from({ length: process.length }, (_, k) => process.stepOf(k));
    const table = (of: (step: typeof steps[number]) => Approx) =>
      steps.map((step) => model.enter(of(step)));
    return {
      timesteps: process.schedule.timesteps.map(exact),
      beta: table(({ beta }) => beta),
      alpha: table(({ alpha }) => alpha),
      alphaBar: table(({ level }) => level.alphaBar),
      betaTilde: table(({ betaTilde }) => betaTilde),
      logBetaTildeClipped: table(({ logBetaTildeClipped }) => logBetaTildeClipped),
      posteriorCoefX0: table(({ coefX0 }) => coefX0),
      posteriorCoefXt: table(({ coefXt }) => coefXt),
      sqrtAlphaBar: table(({ level }) => c.sqrt(level.alphaBar)),
      sqrtOneMinusAlphaBar: table(({ level }) => c.sqrt(level.oneMinusAlphaBar)),
      snr: table(({ snr }) => snr),
    };
  },
};

/** Bounds of operations whose results are exact integers: none may be off. */
export function integerBounds(rule: string): BoundsOf {
  return { formula: rule, bounds: () => ({}) };
}
