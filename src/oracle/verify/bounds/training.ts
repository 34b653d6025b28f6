import { booleanField, integerField, numberField } from "../../fields.ts";
import { tensorField, tensorsField } from "../../tensors.ts";
import { type BoundsOf, given } from "../model.ts";
import { type Approx, clampBetween, either, exact, type Rounding } from "../rounding.ts";

/** β^step by any power function, or by multiplying up. */
function power(base: Approx, step: number, c: Rounding): Approx {
  const v = base.v ** step;
  if (base.v === 0) return exact(0);
  return c.round({ v, e: v * Math.expm1(step * (base.e / base.v + c.u)) }, 16);
}

/** Bounds of `adam_step`. */
export const adamStepBounds: BoundsOf = {
  formula: "m = β₁m + (1−β₁)g, v = β₂v + (1−β₂)g², θ − lr·m̂/(√v̂ + eps)",
  bounds: (request, model) => {
    const { a, c } = model;
    const [theta, grad, m, v] = ["params", "grad", "m", "v"]
      .map((name) => given(tensorField(request, name)));
    const number = (name: string) => c.of(numberField(request, name));
    const step = integerField(request, "step", 1, Number.MAX_SAFE_INTEGER);
    const beta1 = number("beta1"), beta2 = number("beta2");
    const one = exact(1), rest1 = c.sub(one, beta1), rest2 = c.sub(one, beta2);
    const correction1 = model.enter(c.sub(one, power(beta1, step, c)));
    const correction2 = model.enter(c.sub(one, power(beta2, step, c)));
    const decoupled = booleanField(request, "decoupled");
    const decay = model.enter(number("weightDecay")), lr = model.enter(number("lr"));
    const eps = model.enter(number("eps"));
    const [b1, r1, b2, r2] = [beta1, rest1, beta2, rest2].map((k) => model.enter(k));
    const g = decoupled ? grad : grad.map((gi, i) => a.add(gi, a.mul(decay, theta[i])));
    const nextM = g.map((gi, i) =>
      either(
        a.add(a.mul(b1, m[i]), a.mul(r1, gi)),
        a.add(m[i], a.mul(r1, a.sub(gi, m[i]))),
      )
    );
    const nextV = g.map((gi, i) => a.add(a.mul(b2, v[i]), a.mul(r2, a.mul(gi, gi))));
    const params = theta.map((start, i) => {
      const decayed = decoupled ? a.sub(start, a.mul(a.mul(lr, decay), start)) : start;
      const bottom = a.add(a.sqrt(a.div(nextV[i], correction2)), eps);
      const update = a.div(a.mul(lr, a.div(nextM[i], correction1)), bottom);
      return a.sub(decayed, update);
    });
    return { params, m: nextM, v: nextV };
  },
};

/** Bounds of `ema_step`. */
export const emaStepBounds: BoundsOf = {
  formula: "decay·ema + (1−decay)·params",
  bounds: (request, model) => {
    const { a, c } = model, params = given(tensorField(request, "params"));
    const decay = c.of(numberField(request, "decay"));
    const kept = model.enter(decay), rest = model.enter(c.sub(exact(1), decay));
    return {
      ema: given(tensorField(request, "ema")).map((ema, i) =>
        either(
          a.add(a.mul(kept, ema), a.mul(rest, params[i])),
          a.add(ema, a.mul(rest, a.sub(params[i], ema))),
        )
      ),
    };
  },
};

/** Bounds of `clip_grad_norm`. */
export const clipGradNormBounds: BoundsOf = {
  formula: "norm = √Σg² in any order, g·min(1, maxNorm/(norm + 1e−6))",
  bounds: (request, model) => {
    const { a } = model, grads = tensorsField(request, "grads").map(given);
    // A norm of norms takes a few roundings more.
    const norm = a.round(a.sqrt(a.sum(grads.flat().map((g) => a.mul(g, g)))), 6);
    const ratio = a.div(model.number(numberField(request, "maxNorm")), a.add(norm, a.of(1e-6)));
    const factor = clampBetween(ratio, exact(0), exact(1));
    return {
      norm: [norm],
      ...Object.fromEntries(
        grads.map((grad, k) => [`grads[${k}]`, grad.map((g) => a.mul(factor, g))]),
      ),
    };
  },
};
