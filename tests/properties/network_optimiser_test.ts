/** Properties of Adam, AdamW, clipping and the moving average. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { adamStep, adamStepAll, initialAdamState } from "../../src/reference/adam.ts";
import { emaStep, emaStepAll } from "../../src/reference/ema.ts";
import { clipGradNorm, clipGradNormAll, globalNorm } from "../../src/reference/grad_norm.ts";
import { Bound } from "../support/bound.ts";
import { doubles, inDouble } from "../support/doubles.ts";
import { normals, seeds, upTo } from "../support/layers.ts";
import { forAll } from "../support/property.ts";

const options = fc.record({
  lr: fc.constantFrom(1e-3, 0.1),
  beta1: fc.constantFrom(0, 0.5, 0.9),
  beta2: fc.constantFrom(0, 0.9, 0.999),
  eps: fc.constantFrom(1e-8, 0.1),
  weightDecay: fc.constantFrom(0, 0.01, 0.3),
  decoupled: fc.boolean(),
});

function square(x: number): number {
  return x * x;
}

function zeros(shape: readonly number[]): Tensor {
  return doubles(shape, new Float64Array(shape.reduce((a, b) => a * b, 1)));
}

Deno.test("adamStep, step after step, moves by the bias-corrected moments of the whole history", () => {
  const name = "adamStep moves by the moments of the whole history";
  const bound = new Bound("2^−53·(move·(1/(1 − β₁^step) + ½/(1 − β₂^step) + 4·step + 8) + 4|θ|)");
  const drawn = fc.record({ seed: seeds, n: upTo(4), steps: upTo(5), options });
  forAll(drawn, 60, ({ seed, n, steps, options }) => {
    const { lr, beta1, beta2, eps, weightDecay, decoupled } = options;
    let state = { params: inDouble(normals(seed, 0, [n])), m: zeros([n]), v: zeros([n]) };
    const history: Float64Array[] = [];
    for (let step = 1; step <= steps; step++) {
      const before = state.params.data;
      const grad = inDouble(normals(seed, step, [n]));
      history.push(
        Float64Array.from(grad.data, (g, i) => decoupled ? g : g + weightDecay * before[i]),
      );
      state = adamStep(state, grad, step, options);
      for (let i = 0; i < n; i++) {
        // Weighted means of g and g² with weights β^age, which sum to (1 − β^step)/(1 − β).
        const meanOf = (beta: number, of: (g: number) => number): number => {
          let sum = 0, weights = 0;
          history.forEach((g, k) => {
            const weight = beta ** (step - 1 - k);
            sum += weight * of(g[i]);
            weights += weight;
          });
          return sum / weights;
        };
        const move = lr * meanOf(beta1, (g) => g) / (Math.sqrt(meanOf(beta2, square)) + eps);
        const decay = decoupled ? lr * weightDecay * before[i] : 0;
        // Rounding β^step moves 1 − β^step by u, which is u/(1 − β^step) of it; the root halves that of v̂.
        // The averages take two roundings per step and term, on each side, and the rest a handful.
        const relative = 1 / (1 - beta1 ** step) + 0.5 / (1 - beta2 ** step) + 4 * step + 8;
        const size = lr * meanOf(beta1, Math.abs) / (Math.sqrt(meanOf(beta2, square)) + eps);
        const allowed = U64 * (size * relative + 4 * (Math.abs(before[i]) + Math.abs(decay)));
        bound.check(state.params.data[i], before[i] - decay - move, allowed);
      }
    }
  });
  bound.settle(name);
});

Deno.test("adamStep keeps the moments as exponential averages", () => {
  const bound = new Bound("4·2^−53·Σ|terms|");
  forAll(fc.record({ seed: seeds, options }), 30, ({ seed, options }) => {
    const [params, m, grad] = [0, 1, 2].map((k) => inDouble(normals(seed, k, [3])));
    const v = doubles([3], normals(seed, 3, [3]).data.map(Math.abs));
    const next = adamStep({ params, m, v }, grad, 4, { ...options, decoupled: true });
    for (let i = 0; i < 3; i++) {
      const g = grad.data[i];
      const average = (old: number, now: number, beta: number): number =>
        old + (1 - beta) * (now - old);
      const sizeM = Math.abs(m.data[i]) + Math.abs(g), sizeV = v.data[i] + g * g;
      bound.check(next.m.data[i], average(m.data[i], g, options.beta1), 4 * U64 * sizeM, "m", i);
      bound.check(
        next.v.data[i],
        average(v.data[i], g * g, options.beta2),
        4 * U64 * sizeV,
        "v",
        i,
      );
    }
  });
  bound.settle("adamStep keeps the moments as exponential averages");
});

Deno.test("adamStep with zero gradients only decays, and the first step is lr times the sign", () => {
  const theta = tensor([3], [1, -2, 4]), zero = tensor([3]);
  const decayed = adamStep({ params: theta, m: zero, v: zero }, zero, 1, {
    lr: 0.5,
    weightDecay: 0.25,
  });
  assertEquals([...decayed.params.data], [0.875, -1.75, 3.5]);
  const grad = tensor([3], [0.5, -8, 2 ** -10]);
  const stepped = adamStep({ params: theta, m: zero, v: zero }, grad, 1, { lr: 0.5, eps: 0 });
  // m̂ = g and √v̂ = |g| up to a few units in the last place of double, far under float32's.
  [0.5, -1.5, 3.5].forEach((value, i) => {
    assert(Math.abs(stepped.params.data[i] - value) <= roundingBound(value));
  });
  assertEquals([...theta.data], [1, -2, 4], "the argument is left alone");
});

Deno.test("adamStep defaults to AdamW's betas and epsilon without decay", () => {
  const [params, m, grad] = [0, 1, 2].map((k) => normals(1, k, [3]));
  const v = tensor([3], [1, 2, 3]);
  const spelled = { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: true };
  const stepped = adamStep({ params, m, v }, grad, 3, { lr: 0.1 });
  assertEquals(stepped, adamStep({ params, m, v }, grad, 3, spelled));
  const decayed = adamStep({ params, m, v }, grad, 3, { lr: 0.1, weightDecay: 0.5 });
  assertEquals(decayed, adamStep({ params, m, v }, grad, 3, { ...spelled, weightDecay: 0.5 }));
});

Deno.test("adamStepAll steps every parameter as adamStep does", () => {
  const params = new Map([["a", normals(1, 0, [2])], ["b", normals(1, 1, [3, 2])]]);
  const gradients = new Map([["b", normals(1, 2, [3, 2])], ["a", normals(1, 3, [2])]]);
  const options = { lr: 0.01 };
  const state = adamStepAll(initialAdamState(params), gradients, 1, options);
  const again = adamStepAll(state, gradients, 2, options);
  for (const [name, theta] of params) {
    const zero = tensor(theta.shape), grad = gradients.get(name)!;
    const one = adamStep({ params: theta, m: zero, v: zero }, grad, 1, options);
    assertEquals(state.params.get(name), one.params);
    assertEquals(again.params.get(name), adamStep(one, grad, 2, options).params);
    assertEquals(again.v.get(name), adamStep(one, grad, 2, options).v);
  }
  assertThrows(
    () => adamStepAll(state, new Map(), 3, options),
    ArgumentError,
    "Expected gradients of a but got undefined",
  );
});

Deno.test("clipGradNorm scales all gradients by one factor, to just under the norm they may have", () => {
  const bound = new Bound("(n/2 + 6)·2^−53·|g|"); // n squares summed and halved by the root, then a handful
  const drawn = fc.record({
    seed: seeds,
    sizes: fc.array(upTo(5), { minLength: 1, maxLength: 3 }),
    maxNorm: fc.constantFrom(0.1, 1, 100),
  });
  forAll(drawn, 40, ({ seed, sizes, maxNorm }) => {
    const grads = sizes.map((n, k) => inDouble(normals(seed, k, [n])));
    const values = grads.flatMap(({ data }) => [...data]);
    const norm = Math.hypot(...values);
    const clipped = clipGradNorm(grads, maxNorm);
    bound.check(clipped.norm, norm, (values.length / 2 + 6) * U64 * norm, "norm");
    bound.check(globalNorm(grads), norm, (values.length / 2 + 6) * U64 * norm, "norm");
    const factor = norm + 1e-6 <= maxNorm ? 1 : maxNorm / (norm + 1e-6);
    const found = clipped.grads.flatMap(({ data }) => [...data]);
    bound.checkAll(
      found,
      values.map((g) => g * factor),
      (i) => (values.length / 2 + 6) * U64 * Math.abs(values[i]),
      "gradient",
    );
    assert(globalNorm(clipped.grads) <= Math.min(clipped.norm, maxNorm));
    const byName = clipGradNormAll(new Map(grads.map((g, k) => [`g${k}`, g])), maxNorm);
    assertEquals([...byName.gradients.values()], [...clipped.grads]);
    assertEquals([...byName.gradients.keys()], grads.map((_, k) => `g${k}`));
    assertEquals(byName.norm, clipped.norm);
  });
  bound.settle("clipGradNorm scales all gradients by one factor");
});

Deno.test("emaStep moves the average by 1 − decay of the way to the weights", () => {
  const bound = new Bound("3·2^−53·Σ|terms|");
  forAll(
    fc.record({ seed: seeds, decay: fc.constantFrom(0, 0.5, 0.9999, 1) }),
    30,
    ({ seed, decay }) => {
      const ema = inDouble(normals(seed, 0, [5])), params = inDouble(normals(seed, 1, [5]));
      const next = emaStep(ema, params, decay);
      bound.checkAll(
        next.data,
        ema.data.map((e, i) => e + (1 - decay) * (params.data[i] - e)),
        (i) => 3 * U64 * (Math.abs(ema.data[i]) + Math.abs(params.data[i])),
      );
      const all = emaStepAll(new Map([["w", ema]]), new Map([["w", params]]), decay);
      assertEquals(all.get("w"), next);
    },
  );
  bound.settle("emaStep moves the average by 1 − decay of the way to the weights");
});

Deno.test("optimiser steps refuse what cannot be meant", () => {
  const one = tensor([1], [1]), two = tensor([2]);
  const state = { params: one, m: one, v: one };
  assertThrows(
    () => adamStep(state, two, 1, { lr: 1 }),
    ArgumentError,
    "grad of shape [1] but got [2]",
  );
  assertThrows(() => adamStep(state, one, 0, { lr: 1 }), ArgumentError, "Expected step in 1..");
  assertThrows(() => adamStep(state, one, 1, { lr: NaN }), ArgumentError, "finite number for lr");
  assertThrows(
    () => adamStep(state, one, 1, { lr: 1, beta2: 1 }),
    ArgumentError,
    "beta2 in [0, 1)",
  );
  assertThrows(() => emaStep(one, two, 0.5), ArgumentError, "params of shape [1] but got [2]");
  assertThrows(() => emaStep(one, one, 1.5), ArgumentError, "decay in [0, 1] but got 1.5");
  assertThrows(() => clipGradNorm([one], 0), ArgumentError, "maxNorm above 0 but got 0");
});
