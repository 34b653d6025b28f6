import type { Tensor } from "../../../math/tensor.ts";
import type { GroupNormOptions } from "../../../reference/nn/group_norm.ts";
import { zerosLike } from "../../../reference/nn/zeros_like.ts";
import { type TapeStep, walkBack } from "../../../reference/tape.ts";
import { runUnet } from "../../../reference/unet.ts";
import { Layers } from "../../../reference/unet_layers.ts";
import type { Parameters } from "../../../spec/unet_parameters.ts";
import { type NetworkRun, networkRun, squaredError } from "../../ops/unet.ts";
import type { Result } from "../../result.ts";
import type { Request } from "../draw/parts.ts";
import { leavesOf } from "../leaves.ts";
import { type Alternative, asking, withValues } from "./alternative.ts";

/** A mistake in one key of the config: it counts as `value` whatever it is. */
function config(cause: string, key: string, value: unknown): Alternative {
  return asking(cause, (request) => {
    if (request.op !== "unet") return null;
    const fields = request.config as Readonly<Record<string, unknown>>;
    return fields[key] === undefined || fields[key] === value
      ? null
      : { config: { ...fields, [key]: value } };
  });
}

/** What a request's result is if its network runs its layers in another way. */
function resultWith(run: NetworkRun, Other: typeof Layers): Result {
  const { config, parameters, x, timesteps, options, target, out } = run;
  const steps: TapeStep[] = [];
  const output = runUnet(new Other(parameters, steps), config, x, timesteps, options);
  if (target === null) return { output };
  const { loss, dOutput } = squaredError(output, target);
  if (out === null) return { output, loss };
  const back = walkBack(steps, dOutput);
  const gradients = [...parameters].map(([name, p]): [string, Tensor] => [
    `grad.${name}`,
    back.parameters.get(name) ?? zerosLike(p),
  ]);
  const dX = back.inputs.get(x) ?? zerosLike(x);
  return { output, loss, out: { output, "grad.x": dX, ...Object.fromEntries(gradients) } };
}

/** A mistake in how a layer is computed or used. */
function layered(cause: string, Other: typeof Layers): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (request.op !== "unet") return null;
      const context = judge.contextOf(request);
      return leavesOf(resultWith(networkRun({ path: "", values: request, context }), Other));
    },
  };
}

class Unscaled extends Layers {
  override attention(q: Tensor, k: Tensor, v: Tensor): Tensor {
    // (q + q)/(2/√D) takes back the D^−½ of the scores.
    return super.attention(this.add(q, q, 2 / Math.sqrt(q.shape[3])), k, v);
  }
}

class SkipFirst extends Layers {
  override concatChannels(a: Tensor, b: Tensor): Tensor {
    return super.concatChannels(b, a);
  }
}

class Tiled extends Layers {
  override nearestUpsample(x: Tensor): Tensor {
    const [N, C, H, W] = x.shape, doubled = super.nearestUpsample(x);
    const copies = this.rearrange(doubled, [N, C, H, 2, W, 2], [0, 1, 3, 2, 5, 4]);
    return this.reshape(copies, doubled.shape);
  }
}

class EmbeddingNotActivated extends Layers {
  readonly #before = new Map<Tensor, Tensor>();

  constructor(parameters: Parameters, steps: TapeStep[] | null) {
    super(parameters, steps);
  }

  override silu(x: Tensor): Tensor {
    const y = super.silu(x);
    this.#before.set(y, x);
    return y;
  }

  override linear(x: Tensor, name: string): Tensor {
    const before = name.endsWith(".time_emb_proj") ? this.#before.get(x) : undefined;
    return super.linear(before ?? x, name);
  }
}

class ClassesIgnored extends Layers {
  override add(a: Tensor, b: Tensor, scale: number): Tensor {
    // The only sum of embeddings is that of times and classes.
    return a.shape.length === 2 ? a : super.add(a, b, scale);
  }
}

class ScaleWithoutOne extends Layers {
  override scaleShift(x: Tensor, e: Tensor): Tensor {
    return this.add(super.scaleShift(x, e), this.add(x, zerosLike(x), -1), 1);
  }
}

/** Variances divided by m − 1: m/(m − 1)·(variance + ε·(m − 1)/m) is under the root. */
class UnbiasedVariance extends Layers {
  readonly #own: Map<string, Tensor>;

  constructor(parameters: Parameters, steps: TapeStep[] | null) {
    const own = new Map(parameters);
    super(own, steps);
    this.#own = own;
  }

  override groupNorm(x: Tensor, name: string, { groups, eps }: GroupNormOptions): Tensor {
    const weight = this.#own.get(`${name}.weight`), bias = this.#own.get(`${name}.bias`);
    const m = x.data.length / x.shape[0] / groups;
    if (weight === undefined || bias === undefined) throw new Error(`there is no ${name}`);
    const data = weight.data.map((w) => w * Math.sqrt((m - 1) / m));
    this.#own.set(`unbiased ${name}.weight`, { ...weight, data });
    this.#own.set(`unbiased ${name}.bias`, bias);
    return super.groupNorm(x, `unbiased ${name}`, { groups, eps: eps * (m - 1) / m });
  }
}

/** The number of the output's elements. */
function outputSize({ target }: Request): number {
  return (target as { readonly data: readonly number[] }).data.length;
}

/** Mistakes in gradients or losses of networks as factors. */
const FACTORS: readonly Alternative[] = [
  withValues(
    "the loss is the sum and not the mean",
    ["loss"],
    (v, _, request) => request.op === "unet" ? v * outputSize(request) : v,
  ),
  withValues(
    "the gradients are those of the sum",
    null,
    (v, { path }, request) => path.startsWith("out.grad.") ? v * outputSize(request) : v,
  ),
  withValues(
    "the factor 2 of the gradients is missing",
    null,
    (v, { path }) => path.startsWith("out.grad.") ? v / 2 : v,
  ),
];

function timesMoved(cause: string, by: number): Alternative {
  return asking(cause, ({ op, timesteps }) => {
    if (op !== "unet") return null;
    return {
      timesteps: Array.isArray(timesteps) ? timesteps.map((t) => t + by) : Number(timesteps) + by,
    };
  });
}

/** Mistakes in whole networks. */
export const NETWORK_MISTAKES: readonly Alternative[] = [
  config("eps of the group norms is 1e-5 whatever norm_eps says", "norm_eps", 1e-5),
  config("eps of the group norms is 1e-6 whatever norm_eps says", "norm_eps", 1e-6),
  config("freq_shift is taken for 0", "freq_shift", 0),
  config("freq_shift is taken for 1", "freq_shift", 1),
  config("the sines come first whatever flip_sin_to_cos says", "flip_sin_to_cos", false),
  config("the cosines come first whatever flip_sin_to_cos says", "flip_sin_to_cos", true),
  config("center_input_sample is ignored", "center_input_sample", false),
  config("strided convolutions are padded on all sides", "downsample_padding", 1),
  config("strided convolutions are padded at the right and bottom", "downsample_padding", 0),
  config("mid_block_scale_factor is ignored", "mid_block_scale_factor", 1),
  config("attention has one head whatever attention_head_dim says", "attention_head_dim", null),
  config("norm_num_groups is ignored: one group", "norm_num_groups", 1),
  layered("scores of attention are not scaled by D^−½", Unscaled),
  layered("skips are appended before h and not after it", SkipFirst),
  layered("upsampling repeats the image and not its pixels", Tiled),
  layered("the embedding enters residual blocks without SiLU", EmbeddingNotActivated),
  layered("variances of group norms are divided by m − 1 and not by m", UnbiasedVariance),
  layered("class labels are ignored", ClassesIgnored),
  layered("scale_shift multiplies by scale and not by 1 + scale", ScaleWithoutOne),
  timesMoved("times are one too large: they are counted from 0", 1),
  timesMoved("times are one too small", -1),
  ...FACTORS,
];
