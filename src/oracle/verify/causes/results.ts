import { normalCdf, normalCdfTanh } from "../../../math/special.ts";
import type { Request } from "../draw/parts.ts";
import { leavesOf } from "../leaves.ts";
import { type Alternative, asking, dataOf, mapped, option, withValues } from "./alternative.ts";
import { SOURCE_MISTAKES, TRAINING_MISTAKES } from "./training.ts";

const LN2 = Math.LN2;

/** Number of elements, of samples and of elements per sample of a request's first tensor. */
function sizesOf(request: Request): { readonly size: number; readonly N: number } {
  for (const value of Object.values(request)) {
    if (typeof value !== "object" || value === null || !("shape" in value)) continue;
    const shape = value.shape as readonly number[];
    return { size: shape.reduce((product, s) => product * s, 1), N: shape[0] };
  }
  return { size: 1, N: 1 };
}

/** Mistakes that show as a factor or a function of the right values. */
const VALUE_MISTAKES: readonly Alternative[] = [
  withValues("standard deviation where variance is expected", ["variance"], Math.sqrt),
  withValues("variance where standard deviation is expected", ["variance"], (v) => v * v),
  withValues(
    "variance where log-variance is expected",
    ["logVariance", "logVarianceClipped"],
    Math.exp,
  ),
  withValues("log-variance where variance is expected", ["variance"], Math.log),
  withValues(
    "½ ln σ² where ln σ² is expected",
    ["logVariance", "logVarianceClipped"],
    (v) => v / 2,
  ),
  withValues("nats where bits are expected", ["bitsPerDim"], (v) => v * LN2),
  withValues("bits where nats are expected", ["kl", "nll"], (v) => v / LN2),
  withValues("summed over a sample where the mean is expected", ["bitsPerDim"], (v, _, request) => {
    const { size, N } = sizesOf(request);
    return v * size / N;
  }),
  withValues("the factor 2 of the gradient is missing", ["gradient"], (v) => v / 2),
  withValues(
    "the gradient is that of the sum",
    ["gradient"],
    (v, _, request) => v * sizesOf(request).size,
  ),
  withValues("the gradient has the other sign", ["gradient"], (v) => -v),
  withValues("the mean is over the batch and not over all elements", ["mean"], (v, _, request) => {
    const { size, N } = sizesOf(request);
    return request.op.startsWith("loss") ? v * size / N : v;
  }),
  withValues(
    "the sum is where the mean is expected",
    ["mean"],
    (v, _, request) => request.op.startsWith("loss") ? v * sizesOf(request).size : v,
  ),
  ...([[2, "½ is missing"], [1 / 2, "½ is one too many"], [-1, "the sign is flipped"]] as const)
    .map(([factor, cause]) => withValues(cause, null, (v) => factor * v)),
];

/** The decoder by other constants. */
function decoder(
  cause: string,
  { half = 1 / 255, edge = 0.999, floor = 1e-12, cubic = 0.044715, scale = 1 },
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (request.op !== "decoder_nll") return null;
      const phi = request.cdf === "erf"
        ? normalCdf
        : cubic === 0.044715
        ? normalCdfTanh
        : (x: number) => (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + cubic * x ** 3))) / 2;
      const [x0, mean, logScale] = ["x0", "mean", "logScale"].map((name) => dataOf(request, name));
      return leavesOf(judge.reference(request)).map((leaf) => ({
        ...leaf,
        values: x0.map((x, i) => {
          const inverse = Math.exp(-logScale[i] * scale);
          const upper = inverse * (x - mean[i] + half), lower = inverse * (x - mean[i] - half);
          const top = x > edge ? 1 : phi(upper), bottom = x < -edge ? 0 : phi(lower);
          return -Math.log(Math.max(top - bottom, floor));
        }),
      }));
    },
  };
}

const LIKELIHOOD_MISTAKES: readonly Alternative[] = [
  ...option("cdf", ["erf"], () => "Φ by erf where the tanh form is expected"),
  ...option("cdf", ["tanh"], () => "Φ by the tanh form where erf is expected"),
  decoder("the half bin is 1/256 instead of 1/255", { half: 1 / 256 }),
  decoder("the half bin is 1/127.5 instead of 1/255", { half: 1 / 127.5 }),
  decoder("the bins of levels 0 and 255 do not reach to infinity", { edge: 2 }),
  decoder("the floor is 1e-10 instead of 1e-12", { floor: 1e-10 }),
  decoder("the tanh form has 0.0447 instead of 0.044715", { cubic: 0.0447 }),
  decoder("logScale is read as a log-variance", { scale: 0.5 }),
  asking(
    "the two Gaussians of the divergence are swapped",
    (request) =>
      request.op === "normal_kl"
        ? {
          mean1: request.mean2,
          logVariance1: request.logVariance2,
          mean2: request.mean1,
          logVariance2: request.logVariance1,
        }
        : null,
  ),
  asking("L_T is taken one step too early", (request) => {
    if (request.op !== "prior_kl") return null;
    const { keep, T, betas } = request.schedule as Readonly<Record<string, unknown>>;
    const count = Array.isArray(betas) ? betas.length : Number(T);
    const times = Array.isArray(keep) ? keep : Array.from({ length: count }, (_, i) => i + 1);
    return { schedule: { ...(request.schedule as object), keep: times.slice(0, -1) } };
  }),
];

const LOSS_MISTAKES: readonly Alternative[] = [
  ...option("variance", ["beta"], () => "β where β̃ is expected"),
  ...option("variance", ["betaTilde"], () => "β̃ where β is expected"),
  ...option("weighting", ["none"], () => "the weight is left out"),
  asking(
    "the exponent of p2 has the other sign",
    ({ p2Gamma }) => typeof p2Gamma === "number" ? { p2Gamma: -p2Gamma } : null,
  ),
];

const GUIDANCE_MISTAKES: readonly Alternative[] = [
  asking(
    "the scale is the paper's w: s = 1 + w",
    ({ op, scale }) => op === "guide" ? { scale: Number(scale) + 1 } : null,
  ),
  asking(
    "conditional and unconditional are swapped",
    ({ op, conditional, unconditional }) =>
      op === "guide" ? { conditional: unconditional, unconditional: conditional } : null,
  ),
  asking(
    "the output is not rescaled",
    ({ op, rescale }) => op === "guide" && rescale !== 0 ? { rescale: 0 } : null,
  ),
  asking(
    "φ and 1 − φ are swapped",
    ({ op, rescale }) => op === "guide" ? { rescale: 1 - Number(rescale) } : null,
  ),
  {
    cause: "the standard deviation is over the batch instead of per sample",
    answer: (request, judge) => {
      if (request.op !== "guide") return null;
      const together = (name: string) => {
        const data = dataOf(request, name);
        return { [name]: { shape: [1, data.length], data } };
      };
      const whole = { ...request, ...together("conditional"), ...together("unconditional") };
      const [{ values }] = leavesOf(judge.reference(whole));
      return leavesOf(judge.reference(request)).map((leaf) => ({ ...leaf, values }));
    },
  },
];

const LAYER_MISTAKES: readonly Alternative[] = [
  asking(
    "the bias is left out",
    (request) =>
      request.op === "layer" && request.bias !== undefined
        ? mapped(request, "bias", () => 0)
        : null,
  ),
  asking("padding is read as [left, right, top, bottom]", ({ padding }) => {
    if (!Array.isArray(padding)) return null;
    const [top, bottom, left, right] = padding;
    return { padding: [left, right, top, bottom] };
  }),
  asking("padding is on the other side", ({ padding }) => {
    if (!Array.isArray(padding)) return null;
    const [top, bottom, left, right] = padding;
    return { padding: [bottom, top, right, left] };
  }),
  asking("the kernel is flipped: a convolution where a correlation is expected", (request) => {
    const { weight } = request as { weight?: { shape: readonly number[] } };
    if (request.op !== "layer" || weight?.shape.length !== 4) return null;
    const taps = weight.shape[2] * weight.shape[3], data = dataOf(request, "weight");
    return mapped(request, "weight", (_, i) => data[i - i % taps + taps - 1 - i % taps]);
  }),
  ...option("eps", [0, 1e-5, 1e-6], (eps) => `eps is ${eps} whatever is asked`),
  asking("scores are not scaled", ({ layer }) => layer === "attention" ? { scale: 1 } : null),
  asking(
    "groups are ignored: one group",
    ({ layer }) => layer === "groupNorm" ? { groups: 1 } : null,
  ),
];

/** Mistakes by what they belong to, the more particular first. */
export const RESULT_MISTAKES: readonly Alternative[] = [
  ...LIKELIHOOD_MISTAKES,
  ...LOSS_MISTAKES,
  ...TRAINING_MISTAKES,
  ...SOURCE_MISTAKES,
  ...GUIDANCE_MISTAKES,
  ...LAYER_MISTAKES,
  ...VALUE_MISTAKES,
];
