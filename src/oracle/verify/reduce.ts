/**
 * What fast-check cannot make smaller by itself: a batch of images, of which one element fails, as
 * that element alone, and processes of whose lengths only some fail.
 *
 * @module
 */
import { isObject } from "../fields.ts";
import type { JsonTensor, Request } from "./draw/parts.ts";

function isTensor(value: unknown): value is JsonTensor {
  return isObject(value) && Array.isArray(value.shape) && Array.isArray(value.data);
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, s) => product * s, 1);
}

/** A request that keeps one sample of every tensor, or one element of that sample. */
function only(request: Request, shape: readonly number[], n: number, d: number | null): Request {
  const [N, ...rest] = shape, D = sizeOf(rest);
  const image = d === null ? [1, ...rest] : [1, ...rest.map(() => 1)];
  const cut = (tensor: JsonTensor): JsonTensor => {
    // A tensor with twice the channels has both halves of a sample.
    const parts = tensor.data.length / (N * D);
    const starts = Array.from({ length: parts }, (_, p) => (n * parts + p) * D);
    const data = starts.flatMap((start) =>
      d === null ? tensor.data.slice(start, start + D) : [tensor.data[start + d]]
    );
    return { shape: image.map((s, axis) => axis === 1 ? s * parts : s), data };
  };
  const part = (name: string, value: unknown): unknown => {
    if (isTensor(value)) return cut(value);
    if (["t", "tPrev", "tNext"].includes(name) && Array.isArray(value)) return value[n];
    if (name !== "history" || !Array.isArray(value)) return value;
    return value.map((entry) =>
      Object.fromEntries(Object.entries(entry).map(([key, inner]) => [key, part(key, inner)]))
    );
  };
  const entries = Object.entries(request).map(([name, value]) => [name, part(name, value)]);
  return { ...Object.fromEntries(entries), op: request.op };
}

/** Operations whose tensors are batches of images that are worked on element by element. */
const IMAGES: ReadonlySet<string> = new Set([
  "q_step",
  "q_sample",
  "q_mean_variance",
  "q_posterior",
  "convert",
  "p_mean_variance",
  "ddpm_step",
  "ddim_step",
  "ddim_encode_step",
  "dpm_solver_step",
  "guide",
  "loss_simple",
  "loss_weighted",
  "normal_kl",
  "decoder_nll",
  "vlb_term",
  "prior_kl",
  "adam_step",
  "ema_step",
]);

/** The longest processes whose times are tried one after the other. */
const SHORT = 8;

/** Times of every few steps out of every short process. */
function shorter(request: Request): Request[] {
  if (request.spacing === "sections") return [];
  const upTo = (max: number) => Array.from({ length: max }, (_, i) => i + 1);
  return upTo(Math.min(SHORT, Number(request.T) - 1))
    .flatMap((T) => upTo(T).map((steps) => ({ ...request, T, steps })));
}

/**
 * Smaller requests that may fail as well, smallest first: each element by itself, then each sample; of
 * times, those of short processes.
 */
export function reductions(request: Request): Request[] {
  if (request.op === "timesteps") return shorter(request);
  if (!IMAGES.has(request.op)) return [];
  const first = Object.entries(request)
    .find(([name, value]) => name !== "modelOutput" && isTensor(value))?.[1];
  if (!isTensor(first)) return [];
  const { shape } = first, N = shape[0], D = sizeOf(shape) / N;
  const samples = Array.from({ length: N }, (_, n) => n);
  const elements = samples.flatMap((n) => Array.from({ length: D }, (_, d) => [n, d] as const));
  return [
    ...(N * D > 1 ? elements.map(([n, d]) => only(request, shape, n, d)) : []),
    ...(N > 1 && D > 1 ? samples.map((n) => only(request, shape, n, null)) : []),
  ];
}
