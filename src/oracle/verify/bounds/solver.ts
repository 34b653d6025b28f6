import {
  type Fields,
  integerField,
  isObject,
  listField,
  numberOrNumbersField,
} from "../../fields.ts";
import { clipField, noisePredictionField } from "../../options.ts";
import { tensorField } from "../../tensors.ts";
import { type BoundsOf, given, type Model, perElement, timesOf } from "../model.ts";
import { type Approx, exact, negative, type Rounding, scaled } from "../rounding.ts";
import type { ApproxLevel } from "../tables.ts";
import { stepsOf } from "./forward.ts";
import { readOutput } from "./reading.ts";

/** Earlier predictions with their time per sample. */
interface Past {
  readonly times: readonly number[];
  readonly x0: readonly Approx[];
}

function historyOf(request: Fields, samples: number): Past[] {
  return listField(request, "history").map((value) => {
    const fields = { ...request, values: isObject(value) ? value : {} };
    const t = numberOrNumbersField(fields, "t");
    return {
      times: typeof t === "number" ? new Array(samples).fill(t) : t,
      x0: given(tensorField(fields, "x0")),
    };
  });
}

/** Whether a level is pure noise, ᾱ = 0, where λ = −∞. */
function isNoise({ alphaBar }: ApproxLevel): boolean {
  return alphaBar.v === 0 && alphaBar.e === 0;
}

/** ½ ln(ᾱ/(1−ᾱ)) as a difference of logarithms. */
function lambdaOf({ alphaBar, oneMinusAlphaBar }: ApproxLevel, c: Rounding): Approx {
  return scaled(c.sub(c.log(alphaBar), c.log(oneMinusAlphaBar)), 0.5);
}

/** What a step is made of besides predictions: functions of the times only. */
function coefficients(
  level: ApproxLevel,
  end: ApproxLevel,
  past: readonly ApproxLevel[],
  model: Model,
) {
  const { c } = model, one = exact(1), infinite = exact(Infinity);
  const xt = model.enter(c.div(c.sqrt(end.oneMinusAlphaBar), c.sqrt(level.oneMinusAlphaBar)));
  // From pure noise h = ∞ and e^−h = 0; only order 1 is defined there.
  if (isNoise(level)) {
    const zero = exact(0), phi1 = model.enter(c.sqrt(end.alphaBar));
    return { xt, phi1, phi2: zero, phi3: zero, r: [], share: zero, both: one };
  }
  const lambda = lambdaOf(level, c), h = c.sub(lambdaOf(end, c), lambda);
  const phi1 = c.sub(one, c.exp(negative(h))), phi2 = c.sub(one, c.div(phi1, h));
  const phi3 = c.sub(c.div(phi2, h), exact(0.5)), signal = c.sqrt(end.alphaBar);
  const lambdas = [lambda, ...past.map((of) => lambdaOf(of, c))];
  // A prediction that was made at pure noise is infinitely far away: what is divided by r is 0.
  const far = past.map(isNoise);
  const r = past.map((_, k) => far[k] ? infinite : c.div(c.sub(lambdas[k], lambdas[k + 1]), h));
  const both = r.length < 2 ? one : far[1] ? infinite : c.add(r[0], r[1]);
  const enter = (ratio: Approx) => ratio === infinite ? ratio : model.enter(ratio);
  return {
    xt,
    phi1: model.enter(c.mul(signal, phi1)),
    phi2: model.enter(c.mul(signal, phi2)),
    phi3: model.enter(c.mul(signal, phi3)),
    r: r.map(enter),
    share: r.length > 1 ? model.enter(c.div(r[0], both)) : one,
    both: enter(both),
  };
}

/** Bounds of `dpm_solver_step`. */
export const dpmSolverStepBounds: BoundsOf = {
  formula: "σ_prev/σ_t·x_t + √ᾱ_prev·((1−e^−h)·m_0 + …), λ = ½ ln(ᾱ/(1−ᾱ)), h = λ_prev − λ_t",
  bounds: (request, model) => {
    const { a } = model, x = tensorField(request, "xt"), schedule = model.schedule(request);
    const steps = stepsOf(request, model, x), order = integerField(request, "order", 1, 3);
    const { x: xs, x0 } = readOutput(
      x,
      tensorField(request, "modelOutput"),
      steps,
      noisePredictionField(request),
      clipField(request),
      model,
    );
    const past = historyOf(request, x.shape[0]).slice(0, order - 1);
    const ends = timesOf(request, "tPrev", x);
    const each = perElement(x, (n) =>
      ends[n] === 0 ? null : coefficients(
        steps[n].level,
        schedule.levelAt(ends[n]),
        past.map(({ times }) => schedule.levelAt(times[n])),
        model,
      ));
    return {
      x0,
      x: each.map((k, i) => {
        if (k === null) return x0[i];
        const m = [x0[i], ...past.map((of) => of.x0[i])];
        const base = a.add(a.mul(k.xt, xs[i]), a.mul(k.phi1, m[0]));
        if (order === 1) return base;
        const latest = a.div(a.sub(m[0], m[1]), k.r[0]);
        if (order === 2) return a.add(base, scaled(a.mul(k.phi1, latest), 0.5));
        const before = a.div(a.sub(m[1], m[2]), k.r[1]), change = a.sub(latest, before);
        const slope = a.add(latest, a.mul(k.share, change));
        return a.sub(
          a.add(base, a.mul(k.phi2, slope)),
          a.mul(k.phi3, a.div(change, k.both)),
        );
      }),
    };
  },
};
