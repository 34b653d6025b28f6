import { roundRatio } from "../../../reference/respacing.ts";
import { leavesOf } from "../leaves.ts";
import { type Alternative, asking, dataOf, option, withValues } from "./alternative.ts";

/** Adam by another formula of its denominator. */
function adam(
  cause: string,
  bottom: (v: number, correction: number, eps: number) => number,
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (request.op !== "adam_step") return null;
      const number = (name: string) => Number(request[name]);
      const leaves = leavesOf(judge.reference(request));
      const [, m, v] = leaves.map(({ values }) => values);
      const step = number("step"), lr = number("lr");
      const c1 = 1 - number("beta1") ** step, c2 = 1 - number("beta2") ** step;
      const decay = request.decoupled === true ? 1 - lr * number("weightDecay") : 1;
      const params = dataOf(request, "params").map((theta, i) =>
        theta * decay - lr * (m[i] / c1) / bottom(v[i], c2, number("eps"))
      );
      return [{ ...leaves[0], values: params }, ...leaves.slice(1)];
    },
  };
}

/** Mistakes in a training step. */
export const TRAINING_MISTAKES: readonly Alternative[] = [
  adam("eps stands under the root", (v, c, eps) => Math.sqrt(v / c + eps)),
  adam(
    "eps is added before the bias correction",
    (v, c, eps) => (Math.sqrt(v) + eps) / Math.sqrt(c),
  ),
  asking(
    "the steps are counted from 0",
    ({ op, step }) => op === "adam_step" && Number(step) > 1 ? { step: Number(step) - 1 } : null,
  ),
  asking(
    "the step is counted one too far",
    ({ op, step }) => op === "adam_step" ? { step: Number(step) + 1 } : null,
  ),
  asking("there is no bias correction", ({ op }) => op === "adam_step" ? { step: 1e9 } : null),
  ...option("decoupled", [false], () => "the weight decay is added to the gradient"),
  ...option("decoupled", [true], () => "the weight decay is decoupled"),
  ...option("weightDecay", [0], () => "the weight decay is ignored"),
  asking(
    "decay and 1 − decay are swapped",
    ({ op, decay }) => op === "ema_step" ? { decay: 1 - Number(decay) } : null,
  ),
  {
    cause: "1e-6 is not added to the norm",
    answer: (request, judge) => {
      if (request.op !== "clip_grad_norm") return null;
      const leaves = leavesOf(judge.reference(request));
      const norm = leaves[leaves.length - 1].values[0];
      const factor = Math.min(1, Number(request.maxNorm) / norm);
      const grads = request.grads as readonly { readonly data: readonly number[] }[];
      return leaves.map((leaf, k) =>
        k < grads.length ? { ...leaf, values: grads[k].data.map((g) => g * factor) } : leaf
      );
    },
  },
  {
    cause: "each tensor is clipped by its own norm",
    answer: (request, judge) => {
      if (request.op !== "clip_grad_norm") return null;
      const leaves = leavesOf(judge.reference(request));
      return (request.grads as readonly unknown[]).map((grad, k) => ({
        ...leavesOf(judge.reference({ ...request, grads: [grad] }))[0],
        path: leaves[k].path,
        keys: leaves[k].keys,
      })).concat(leaves.slice(-1));
    },
  },
];

/** Times by another rounding. */
function rounded(cause: string, round: (a: number, b: number) => number): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      const { spacing, T, steps } = request;
      const N = Number(steps), length = Number(T);
      const times = spacing === "trailing"
        ? Array.from({ length: N }, (_, i) => round((i + 1) * length, N))
        : spacing === "linspace" && N > 1
        ? Array.from({ length: N }, (_, i) => 1 + round(i * (length - 1), N - 1))
        : null;
      if (times === null) return null;
      return leavesOf(judge.reference(request)).map((leaf) => ({
        ...leaf,
        values: times.toReversed(),
      }));
    },
  };
}

/** Times of a spacing by a rule that gives another number of them. */
function counted(
  cause: string,
  spacing: string,
  times: (T: number, steps: number) => number[],
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (request.spacing !== spacing) return null;
      const values = times(Number(request.T), Number(request.steps)).toReversed();
      return leavesOf(judge.reference(request)).map((leaf) => ({ ...leaf, values }));
    },
  };
}

/** Mistakes in times, embeddings and random numbers. */
export const SOURCE_MISTAKES: readonly Alternative[] = [
  withValues(
    "times are counted from 0",
    ["timesteps"],
    (t, _, { op }) => op === "timesteps" ? t - 1 : t,
  ),
  counted(
    "the times are range(1, T + 1, ⌊T/steps⌋), which may be too many",
    "leading",
    (T, steps) => {
      const stride = Math.floor(T / steps);
      return Array.from({ length: Math.ceil(T / stride) }, (_, i) => 1 + i * stride);
    },
  ),
  counted("duplicates are not removed", "quadratic", (T, steps) =>
    Array.from(
      { length: steps },
      (_, i) => steps === 1 ? 1 : 1 + Math.floor(4 * T * i * i / (5 * (steps - 1) ** 2)),
    )),
  rounded("halves are rounded up instead of to even", (a, b) => Math.floor((2 * a + b) / (2 * b))),
  rounded("times are rounded down", (a, b) => Math.floor(a / b)),
  rounded("times are rounded up", (a, b) => Math.ceil(a / b)),
  rounded(
    "the stride is rounded before it is multiplied",
    (a, b) => a > b ? roundRatio(a, a) * roundRatio(a, b) : roundRatio(a, b),
  ),
  ...option("order", ["sinCos"], () => "the sines come first whatever the order"),
  ...option("order", ["cosSin"], () => "the cosines come first whatever the order"),
  ...option("shift", [0], () => "the exponents are divided by half instead of half − 1"),
  ...option("shift", [1], () => "the exponents are divided by half − 1 instead of half"),
  asking(
    "times are one too large",
    ({ op, timesteps }) =>
      op === "time_embedding" && Array.isArray(timesteps)
        ? { timesteps: timesteps.map((t) => t + 1) }
        : null,
  ),
  asking(
    "times are one too small",
    ({ op, timesteps }) =>
      op === "time_embedding" && Array.isArray(timesteps)
        ? { timesteps: timesteps.map((t) => t - 1) }
        : null,
  ),
  {
    cause: "cosine and sine are swapped",
    answer: (request, judge) => {
      if (request.op !== "normal") return null;
      const index = Number(request.index), count = Number(request.count);
      const from = index - index % 2;
      const [leaf] = leavesOf(judge.reference({ ...request, index: from, count: count + 3 }));
      return [{
        ...leaf,
        values: Array.from({ length: count }, (_, i) => {
          const at = index + i;
          return leaf.values[(at % 2 === 0 ? at + 1 : at - 1) - from];
        }),
      }];
    },
  },
  asking(
    "the index counts blocks of four words",
    ({ op, index }) => op === "random_bits" ? { index: 4 * Number(index) } : null,
  ),
  asking(
    "seed and stream are swapped",
    ({ op, seed, stream }) =>
      op === "random_bits" || op === "normal" ? { seed: stream, stream: seed } : null,
  ),
];
