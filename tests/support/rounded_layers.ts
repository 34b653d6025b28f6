/**
 * The network's layers in double with the rounding errors that float32 kernels make in them: the sums of
 * `random_rounding.ts`, Winograd's transforms, and the accuracy that WGSL promises of its builtins.
 * Moving, reshaping and repeating values round nothing.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { zerosLike } from "../../src/reference/nn/zeros_like.ts";
import type { StepGradients, TapeStep } from "../../src/reference/tape.ts";
import { Layers } from "../../src/reference/unet_layers.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { convAlgorithm, type Variants } from "../../src/webgpu/variants.ts";
import { DIVISION, logisticError, siluSlopeBound } from "../webgpu/wgsl_accuracy.ts";
import { U32 } from "../../src/math/float32.ts";
import type { RandomRounding } from "./random_rounding.ts";
import { roundedAttention, roundedAttentionBackward } from "./rounded_attention.ts";
import { roundedGroupNorm, roundedGroupNormBackward } from "./rounded_norm.ts";
import { roundedWinograd, roundedWinogradWeightGradient, turned } from "./rounded_winograd.ts";

type Way = (dY: Tensor) => StepGradients;

/** f of every element. */
function mapped(x: Tensor, f: (value: number, i: number) => number): Tensor {
  return { shape: x.shape, data: x.data.map(f) };
}

function squared(x: Tensor): Tensor {
  return mapped(x, (v) => v * v);
}

function sizeOf(...sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}

/** Layers whose every kernel rounds at random. */
export class RoundedLayers extends Layers {
  /** Norms' biases by output: what a scale and shift that follow are fused with. */
  readonly #biases = new WeakMap<Tensor, Tensor>();

  constructor(
    readonly parameters: Parameters,
    readonly steps: TapeStep[],
    readonly rounding: RandomRounding,
    readonly variants: Variants,
  ) {
    super(parameters, steps);
  }

  #note(output: Tensor, backward: Way): Tensor {
    this.steps.push({ output, backward });
    return output;
  }

  #named(name: string): { weight: Tensor; bias: Tensor } {
    const [weight, bias] = ["weight", "bias"].map((part) => this.parameters.get(`${name}.${part}`));
    return { weight: weight as Tensor, bias: bias as Tensor };
  }

  /** Sums of n terms, from their exact values and those of the terms' squares. */
  #sums(n: number, S: Tensor, Q: Tensor, perTerm = 1): Tensor {
    return mapped(S, (s, i) => this.rounding.sum(n, s, Q.data[i], perTerm));
  }

  /** A convolution's end: the bias added, then divided by an output scale, 1 or not. */
  #finished(sums: Tensor, bias: Tensor): Tensor {
    const [, O] = sums.shape, P = sizeOf(...sums.shape.slice(2));
    return mapped(sums, (s, i) => {
      const sum = this.rounding.rounded(s + bias.data[Math.floor(i / P) % O]);
      return this.rounding.builtin(sum, DIVISION);
    });
  }

  override conv2d(x: Tensor, name: string, options: nn.Conv2dOptions): Tensor {
    const { rounding } = this;
    const { weight, bias } = this.#named(name);
    const [O, C, kernel] = weight.shape;
    const { stride = 1 } = options;
    // A U-Net's convolutions keep the extent or halve it.
    const [N, , H, W] = x.shape.map((size, axis) => axis < 2 ? size : size / stride);
    const algorithm = convAlgorithm(this.variants, { kernel, stride, C, O, H, W });
    const m = algorithm === "winograd4" ? 4 : algorithm === "winograd2" ? 2 : null;
    const zeros = zerosLike(bias);
    const sums = m === null
      ? this.#sums(
        sizeOf(C, kernel, kernel),
        nn.conv2d(x, weight, zeros, options),
        nn.conv2d(squared(x), squared(weight), zeros, options),
      )
      : roundedWinograd(rounding, m, x, weight, this.variants.weights === "f16");
    return this.#note(this.#finished(sums, bias), (dY) => {
      let dX: Tensor, dWeight: Tensor;
      if (m === null) {
        const S = nn.conv2dBackward(dY, x, weight, options);
        const Q = nn.conv2dBackward(squared(dY), squared(x), squared(weight), options);
        dX = this.#sums(sizeOf(O, kernel, kernel), S.dX, Q.dX);
        dWeight = this.#sums(sizeOf(N, H, W), S.dWeight, Q.dWeight);
      } else {
        dX = roundedWinograd(rounding, m, dY, turned(weight));
        dWeight = roundedWinogradWeightGradient(rounding, m, x, dY);
      }
      return { inputs: [[x, dX]], parameters: named(name, dWeight, this.#channelSums(dY)) };
    });
  }

  /** Σ over samples and positions of dY `[N, O, …]`. */
  #channelSums(dY: Tensor): Tensor {
    const [N, O] = dY.shape, P = dY.data.length / (N * O);
    const S = zerosLike(dY, [O]), Q = zerosLike(dY, [O]);
    dY.data.forEach((v, i) => {
      const o = Math.floor(i / P) % O;
      S.data[o] += v;
      Q.data[o] += v * v;
    });
    return this.#sums(N * P, S, Q, 0);
  }

  override linear(x: Tensor, name: string): Tensor {
    const { weight, bias } = this.#named(name);
    const [O, I] = weight.shape, rows = x.data.length / I;
    const zeros = zerosLike(bias);
    const S = nn.linear(x, weight, zeros), Q = nn.linear(squared(x), squared(weight), zeros);
    const y = mapped(this.#sums(I, S, Q), (s, i) => {
      const sum = this.rounding.rounded(s + bias.data[i % O]);
      return this.rounding.builtin(sum, DIVISION);
    });
    return this.#note(y, (dY) => {
      const S = nn.linearBackward(dY, x, weight);
      const Q = nn.linearBackward(squared(dY), squared(x), squared(weight));
      const dX = this.#sums(O, S.dX, Q.dX);
      const dWeight = this.#sums(rows, S.dWeight, Q.dWeight);
      const dBias = this.#sums(rows, S.dBias, Q.dBias, 0);
      return { inputs: [[x, dX]], parameters: named(name, dWeight, dBias) };
    });
  }

  override groupNorm(x: Tensor, name: string, options: nn.GroupNormOptions): Tensor {
    const { rounding } = this;
    const { weight, bias } = this.#named(name);
    const { y, stats } = roundedGroupNorm(rounding, x, weight, bias, options);
    this.#biases.set(y, bias);
    return this.#note(y, (dY) => {
      const d = roundedGroupNormBackward(rounding, dY, x, weight, stats, options);
      return { inputs: [[x, d.dX]], parameters: named(name, d.dWeight, d.dBias) };
    });
  }

  /**
   * The scale's factor 1 + scale and the shift bias·factor + shift are rounded once for all positions;
   * dScale is weight·Σ dY·x̂ + bias·Σ dY.
   */
  override scaleShift(x: Tensor, e: Tensor): Tensor {
    const { rounding } = this;
    const [N, C] = x.shape, P = x.data.length / (N * C);
    const bias = (c: number): number => this.#biases.get(x)?.data[c] ?? 0;
    const factors = new Float64Array(N * C);
    const y = zerosLike(x);
    for (let nc = 0; nc < N * C; nc++) {
      const n = Math.floor(nc / C), c = nc % C;
      factors[nc] = rounding.rounded(1 + e.data[2 * n * C + c], 2);
      const own = rounding.error(bias(c) * factors[nc] * 2);
      const shift = rounding.rounded(e.data[(2 * n + 1) * C + c] + own);
      for (let i = nc * P; i < (nc + 1) * P; i++) {
        y.data[i] = rounding.rounded(x.data[i] * factors[nc] + shift);
      }
    }
    return this.#note(y, (dY) => {
      const dX = mapped(dY, (d, i) => rounding.rounded(d * factors[Math.floor(i / P)]));
      const dE = zerosLike(e);
      for (let nc = 0; nc < N * C; nc++) {
        const n = Math.floor(nc / C), b = bias(nc % C);
        let S = 0, Q = 0, SX = 0, QX = 0;
        for (let i = nc * P; i < (nc + 1) * P; i++) {
          const d = dY.data[i], dx = d * (x.data[i] - b);
          S += d;
          Q += d * d;
          SX += dx;
          QX += dx * dx;
        }
        const sum = rounding.sum(P, S, Q, 0);
        const scaled = rounding.rounded(rounding.sum(P, SX, QX, 3)) + rounding.rounded(b * sum);
        dE.data[2 * n * C + nc % C] = rounding.rounded(scaled);
        dE.data[(2 * n + 1) * C + nc % C] = sum;
      }
      return { inputs: [[x, dX], [e, dE]] };
    });
  }

  override silu(x: Tensor): Tensor {
    const { rounding } = this;
    const y = mapped(nn.silu(x), (v, i) => rounding.builtin(v, logisticError(x.data[i]) + U32));
    return this.#note(y, (dY) => {
      const one = mapped(x, () => 1);
      const slopes = nn.siluBackward(one, x);
      const dX = mapped(dY, (d, i) => {
        const slope = slopes.data[i] + rounding.error(siluSlopeBound(x.data[i], 0) / U32);
        return rounding.rounded(d * slope);
      });
      return { inputs: [[x, dX]] };
    });
  }

  override attention(q: Tensor, k: Tensor, v: Tensor): Tensor {
    const { rounding } = this;
    const { y, probabilities } = roundedAttention(rounding, q, k, v);
    return this.#note(y, (dY) => {
      const d = roundedAttentionBackward(rounding, dY, q, k, v, probabilities);
      return { inputs: [[q, d.dQ], [k, d.dK], [v, d.dV]] };
    });
  }

  /** Values are multiplied by a rounded 1/(1 − p). */
  override dropout(x: Tensor, options: nn.DropoutOptions): Tensor {
    const scaled = (y: Tensor): Tensor => {
      const factor = this.rounding.rounded(1);
      return mapped(y, (v) => this.rounding.rounded(v * factor));
    };
    const y = scaled(nn.dropout(x, options));
    return this.#note(y, (dY) => ({
      inputs: [[x, scaled(nn.dropoutBackward(dY, options))]],
    }));
  }

  override add(a: Tensor, b: Tensor, scale: number): Tensor {
    const y = mapped(nn.add(a, b, 1), (v) => {
      return this.rounding.builtin(this.rounding.rounded(v) / scale, DIVISION);
    });
    return this.#note(y, (dY) => {
      const d = mapped(dY, (v) => this.rounding.rounded(v / scale, scale === 1 ? 0 : 2));
      return { inputs: [[a, d], [b, d]] };
    });
  }

  override addPerChannel(x: Tensor, e: Tensor): Tensor {
    const y = mapped(nn.addPerChannel(x, e), (v) => this.rounding.rounded(v));
    return this.#note(y, (dY) => {
      const S = nn.addPerChannelBackward(dY).dE, Q = nn.addPerChannelBackward(squared(dY)).dE;
      const P = dY.data.length / S.data.length;
      return { inputs: [[x, dY], [e, this.#sums(P, S, Q, 0)]] };
    });
  }

  override nearestUpsample(x: Tensor): Tensor {
    return this.#note(nn.nearestUpsample(x), (dY) => {
      const S = nn.nearestUpsampleBackward(dY, x);
      return { inputs: [[x, this.#sums(4, S, nn.nearestUpsampleBackward(squared(dY), x), 0)]] };
    });
  }

  override averagePool(x: Tensor): Tensor {
    const S = nn.averagePool(x), Q = mapped(nn.averagePool(squared(x)), (v) => v / 4);
    return this.#note(
      this.#sums(4, S, Q, 0),
      (dY) => ({ inputs: [[x, nn.averagePoolBackward(dY, x)]] }),
    );
  }

  /** The embedding is rounded once, on the host. */
  override timeEmbedding(
    times: readonly number[],
    dim: number,
    options: nn.TimeEmbeddingOptions,
    x: Tensor,
  ): Tensor {
    return this.#roundedInPlace(super.timeEmbedding(times, dim, options, x));
  }

  override centered(x: Tensor): Tensor {
    return this.#roundedInPlace(super.centered(x));
  }

  #roundedInPlace(y: Tensor): Tensor {
    y.data.forEach((v, i) => y.data[i] = this.rounding.rounded(v));
    return y;
  }
}

function named(name: string, dWeight: Tensor, dBias: Tensor): readonly [string, Tensor][] {
  return [[`${name}.weight`, dWeight], [`${name}.bias`, dBias]];
}
