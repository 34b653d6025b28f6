import { clamp, quantile } from "../../../reference/clip.ts";
import type { Request } from "../draw/parts.ts";
import type { Judge } from "../judge.ts";
import { type Leaf, leavesOf } from "../leaves.ts";
import { type Alternative, dataOf, leafAt } from "./alternative.ts";

/** A dynamic clip's numbers. */
interface Dynamic {
  readonly quantile: number;
  readonly max: number;
}

/** The answer to a request whose x̂_0 was clipped to `x0`: that of an x̂_0 prediction, unclipped. */
function answerAt(request: Request, x0: readonly number[], judge: Judge): readonly Leaf[] {
  const { shape } = request.xt as { readonly shape: readonly number[] };
  const output = request.modelOutput as { readonly shape: readonly number[] };
  const raw = dataOf(request, "modelOutput"), D = x0.length / shape[0];
  const halves = raw.length / x0.length;
  const data = raw.map((value, i) => {
    const n = Math.floor(i / (D * halves)), d = i % (D * halves);
    return d < D ? Math.fround(x0[n * D + d]) : value;
  });
  return leavesOf(judge.reference({
    ...request,
    prediction: "x0",
    clip: null,
    modelOutput: { shape: output.shape, data },
  }));
}

/** A dynamic clip by another rule: `clip` maps the unclipped x̂_0 of the batch, D values a sample. */
function clippedBy(
  cause: string,
  clip: (x0: readonly number[], D: number, rule: Dynamic) => readonly number[],
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      const rule = request.clip as { readonly kind?: unknown } | null | undefined;
      if (rule?.kind !== "dynamic" || request.prediction === "previousX") return null;
      if (request.rederiveEpsilon === false) return null;
      const { shape } = request.xt as { readonly shape: readonly number[] };
      const raw = leafAt(leavesOf(judge.reference({ ...request, clip: null })), "x0").values;
      const x0 = Array.from(raw);
      return answerAt(request, clip(x0, x0.length / shape[0], request.clip as Dynamic), judge);
    },
  };
}

/** Each sample, clipped at the size that `at` takes from its sorted magnitudes. */
function bySample(at: (sorted: Float64Array, rule: Dynamic) => number, divide = true) {
  return (x0: readonly number[], D: number, rule: Dynamic): readonly number[] =>
    Array.from({ length: x0.length / D }, (_, n) => {
      const sample = x0.slice(n * D, (n + 1) * D);
      const s = clamped(at(Float64Array.from(sample, Math.abs).sort(), rule), rule);
      return sample.map((x) => clamp(x, s) / (divide ? s : 1));
    }).flat();
}

/** A size within its limits. */
function clamped(s: number, { max }: Dynamic): number {
  return Math.min(Math.max(s, 1), max);
}

/** Mistakes in dynamic clipping. */
export const CLIPPING_MISTAKES: readonly Alternative[] = [
  clippedBy(
    "x̂_0 is not divided by the quantile after dynamic clipping",
    bySample((sorted, rule) => quantile(sorted, rule.quantile), false),
  ),
  clippedBy(
    "the quantile is that of the batch instead of each sample's",
    (x0, _, rule) => {
      const s = clamped(quantile(Float64Array.from(x0, Math.abs), rule.quantile), rule);
      return x0.map((x) => clamp(x, s) / s);
    },
  ),
  clippedBy(
    "the quantile is not interpolated: the lower neighbour is taken",
    bySample((sorted, rule) => sorted[Math.floor(rule.quantile * (sorted.length - 1))]),
  ),
  clippedBy(
    "the quantile is not interpolated: the upper neighbour is taken",
    bySample((sorted, rule) => sorted[Math.ceil(rule.quantile * (sorted.length - 1))]),
  ),
  clippedBy(
    "the quantile's position is q·n instead of q(n − 1)",
    bySample((sorted, rule) => {
      const position = Math.min(rule.quantile * sorted.length, sorted.length - 1);
      const below = Math.floor(position), above = Math.min(below + 1, sorted.length - 1);
      return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
    }),
  ),
  clippedBy(
    "the quantile is that of x̂_0 instead of its magnitude",
    (x0, D, rule) =>
      Array.from({ length: x0.length / D }, (_, n) => {
        const sample = x0.slice(n * D, (n + 1) * D);
        const s = clamped(quantile(Float64Array.from(sample), rule.quantile), rule);
        return sample.map((x) => clamp(x, s) / s);
      }).flat(),
  ),
];
