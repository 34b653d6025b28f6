import type { Request } from "../draw/parts.ts";
import type { Judge } from "../judge.ts";
import { type Leaf, leavesOf } from "../leaves.ts";
import { type Alternative, asking, dataOf, leafAt, mapped, option } from "./alternative.ts";

type Change = Readonly<Record<string, unknown>>;

/** The field x of the answers to a request with some fields changed. */
function xOf(judge: Judge, request: Request, changes: Change): ArrayLike<number> {
  return leafAt(leavesOf(judge.reference({ ...request, ...changes })), "x").values;
}

/** A step whose x is another combination of the reference's steps with changed requests. */
function combined(
  cause: string,
  ops: readonly string[],
  x: (x: (changes: Change) => ArrayLike<number>, request: Request, i: number) => number,
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (!ops.includes(request.op)) return null;
      const leaves = leavesOf(judge.reference(request));
      const cache = new Map<string, ArrayLike<number>>();
      const of = (changes: Change) => {
        const key = JSON.stringify(changes);
        const known = cache.get(key) ?? xOf(judge, request, changes);
        cache.set(key, known);
        return known;
      };
      return leaves.map((leaf): Leaf =>
        leaf.path === "x"
          ? { ...leaf, values: Array.from(leaf.values, (_, i) => x(of, request, i)) }
          : leaf
      );
    },
  };
}

/** Fields of the result as they are for a changed request, the others as they should be. */
function partly(cause: string, fields: readonly string[], changes: Change): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (!Object.keys(changes).every((name) => name in request)) return null;
      const changed = leavesOf(judge.reference({ ...request, ...changes }));
      return leavesOf(judge.reference(request)).map((leaf) =>
        fields.includes(leaf.path) ? leafAt(changed, leaf.path) : leaf
      );
    },
  };
}

function zeros(request: Request, name: string): Change {
  return mapped(request, name, () => 0);
}

/** What a learned variance's half of the output is changed to. */
function raw(request: Request, change: (value: number) => number): Change | null {
  if (!String(request.variance).startsWith("learned")) return null;
  const { shape } = request.xt as { readonly shape: readonly number[] };
  const D = dataOf(request, "xt").length / shape[0];
  return mapped(
    request,
    "modelOutput",
    (value, i) => Math.floor(i / D) % 2 === 1 ? Math.fround(change(value)) : value,
  );
}

/** The two halves of an output's channels swapped. */
function halvesSwapped(request: Request): Change | null {
  if (!String(request.variance).startsWith("learned")) return null;
  const { shape } = request.xt as { readonly shape: readonly number[] };
  const data = dataOf(request, "modelOutput"), D = dataOf(request, "xt").length / shape[0];
  return mapped(
    request,
    "modelOutput",
    (_, i) => data[Math.floor(i / D) % 2 === 0 ? i + D : i - D],
  );
}

/** A time, or a list of one per sample, mapped. */
function eachTime(times: unknown, of: (t: number) => number): unknown {
  return Array.isArray(times) ? times.map(of) : of(Number(times));
}

/** The times of a request's process, and how many steps the original has. */
function processOf(request: Request): { readonly times: readonly number[]; readonly T: number } {
  const { keep, betas, T } = request.schedule as Change;
  const count = Array.isArray(betas) ? betas.length : Number(T);
  return {
    T: count,
    times: Array.isArray(keep) ? keep : Array.from({ length: count }, (_, i) => i + 1),
  };
}

/** The schedule of a request without its kept times. */
function whole(request: Request): Change {
  return { schedule: { ...(request.schedule as Change), keep: undefined } };
}

/** Where a step ends when its length is T/N of the original process. */
function evenStep(request: Request): Change | null {
  if (request.tPrev === undefined) return null;
  const { times, T } = processOf(request), length = Math.floor(T / times.length);
  return { ...whole(request), tPrev: eachTime(request.t, (t) => Math.max(t - length, 0)) };
}

/** Where a step ends when it always goes to the next lower kept time. */
function nextLower(request: Request): Change | null {
  if (request.tPrev === undefined) return null;
  const { times } = processOf(request);
  return {
    tPrev: eachTime(request.t, (t) => Math.max(0, ...times.filter((time) => time < t))),
  };
}

/** Where an encoding step ends when T + 1 is taken for T. */
function endsAtLast(request: Request): Change | null {
  if (request.tNext === undefined) return null;
  const { times, T } = processOf(request), last = times[times.length - 1];
  return { tNext: eachTime(request.tNext, (t) => t === T + 1 ? last : t) };
}

/** Mistakes in steps and in how an output is read. */
export const STEP_MISTAKES: readonly Alternative[] = [
  partly("the mean is made from x̂_0 before it is clipped", ["x", "mean"], { clip: null }),
  ...option("clip", [null], () => "x̂_0 is not clipped"),
  asking(
    "x̂_0 is clipped to [−1, 1] whatever the range",
    ({ clip }) =>
      typeof clip === "object" && clip !== null ? { clip: { kind: "static", range: 1 } } : null,
  ),
  ...option("rederiveEpsilon", [false], () => "ε is not re-derived after clipping"),
  ...option(
    "rederiveEpsilon",
    [true],
    () => "ε is re-derived after clipping, where it should be kept",
  ),
  ...option("finalAlphaBar", [1], () => "finalAlphaBar is ignored: ᾱ is 1 at time 0"),
  asking("the step goes to t − T/N instead of the time given", evenStep),
  asking("the step goes to the next lower time instead of the one given", nextLower),
  asking("the step goes to t − 1 instead of the next kept time", (request) => {
    if ((request.schedule as Change | undefined)?.keep === undefined) return null;
    return request.tPrev === undefined
      ? whole(request)
      : { ...whole(request), tPrev: eachTime(request.t, (t) => t - 1) };
  }),
  asking("the step to time T + 1 ends at the last kept time", endsAtLast),
  ...option("eta", [0], () => "eta is ignored"),
  asking(
    "√eta where eta is expected",
    ({ eta }) => typeof eta === "number" ? { eta: Math.sqrt(eta) } : null,
  ),
  asking(
    "eta² where eta is expected",
    ({ eta }) => typeof eta === "number" ? { eta: eta * eta } : null,
  ),
  combined(
    "the noise is left out",
    ["ddpm_step", "ddim_step"],
    (x, request, i) => x(zeros(request, "z"))[i],
  ),
  combined(
    "σ² is not taken from the share of ε̂",
    ["ddim_step"],
    (x, request, i) => x({ eta: 0 })[i] + x({})[i] - x(zeros(request, "z"))[i],
  ),
  ...option("finalNoise", [true], () => "z acts in the last step"),
  asking("z acts in the last step", ({ op }) => op === "ddpm_step" ? { finalNoise: true } : null),
  ...option("finalNoise", [false], () => "finalNoise is ignored"),
  combined("exp(ln Σ) where exp(½ ln Σ) is expected: variance for deviation", ["ddpm_step"], (
    x,
    request,
    i,
  ) => {
    const mean = x(zeros(request, "z"))[i], z = dataOf(request, "z")[i];
    const sigma = z === 0 ? 0 : (x({})[i] - mean) / z;
    return mean + sigma * sigma * z;
  }),
  ...option("variance", ["beta"], () => "β where another variance is expected"),
  ...option("variance", ["betaTilde"], () => "β̃ where another variance is expected"),
  asking(
    "ln Σ = v·ln β + (1−v)·ln β̃: (1+v)/2 where v is in [−1, 1]",
    (request) => request.variance === "learnedRange" ? raw(request, (v) => 2 * v - 1) : null,
  ),
  asking(
    "v of the variance is clamped to [−1, 1]",
    (request) =>
      request.variance === "learnedRange"
        ? raw(request, (v) => Math.min(Math.max(v, -1), 1))
        : null,
  ),
  asking(
    "the ends of the learned range are swapped",
    (request) => request.variance === "learnedRange" ? raw(request, (v) => -v) : null,
  ),
  asking("the output's halves, mean and variance, are swapped", halvesSwapped),
  ...["epsilon", "x0", "v"].flatMap((prediction) =>
    option("prediction", [prediction], () => `the output is read as ${prediction}`)
  ),
  asking(
    "the sign of v is flipped",
    (request) => request.prediction === "v" ? mapped(request, "modelOutput", (v) => -v) : null,
  ),
  asking(
    "the sign of v is flipped",
    (request) => request.from === "v" ? mapped(request, "value", (v) => -v) : null,
  ),
  asking(
    "the sign of the score is flipped",
    (request) => request.from === "score" ? mapped(request, "value", (v) => -v) : null,
  ),
  combined(
    "½ is missing in the second-order term",
    ["dpm_solver_step"],
    (x, request, i) => request.order === 2 ? 2 * x({})[i] - x({ order: 1 })[i] : NaN,
  ),
  ...option("order", [1], () => "a step of order 1 is taken"),
  ...option("order", [2], () => "a step of order 2 is taken"),
];
