/**
 * A network's layers, each with its rounding errors.
 *
 * @module
 */
import type { Tensor } from "../../../../math/tensor.ts";
import * as nn from "../../../../reference/nn/mod.ts";
import type { TapeStep } from "../../../../reference/tape.ts";
import { Layers } from "../../../../reference/unet_layers.ts";
import type { Parameters } from "../../../../spec/unet_parameters.ts";
import { attentionErrors } from "./attention.ts";
import {
  both,
  type Errors,
  independent,
  type LayerErrors,
  none,
  range,
  relative,
  sizes,
  sums,
} from "./errors.ts";
import { normErrors } from "./norm.ts";

/** Fast convolutions (Winograd) trade products for sums of larger terms. */
const FAST_CONVOLUTION = 8;

/** What a layer is given and has computed before its errors are known. */
type Analysis = (y: Tensor) => LayerErrors;

/** Layers in double that note the rounding errors of every one of them in the order in which they run. */
export class AnalysedLayers extends Layers {
  /** The errors, in the order of the tape. */
  readonly errors: LayerErrors[] = [];
  readonly #parameters: Parameters;
  readonly #u: number;
  #analysis: Analysis | null = null;

  /** @param u unit roundoff of the arithmetic whose errors are noted. */
  constructor(parameters: Parameters, steps: TapeStep[], u: number) {
    super(parameters, steps);
    this.#parameters = parameters;
    this.#u = u;
  }

  protected override stored(y: Tensor): Tensor {
    if (this.#analysis === null) throw new Error("a layer has no analysis");
    this.errors.push(this.#analysis(y));
    this.#analysis = null;
    return y;
  }

  #named(name: string): { readonly weight: Tensor; readonly bias: Tensor } {
    const [weight, bias] = ["weight", "bias"].map((part) =>
      this.#parameters.get(`${name}.${part}`)
    );
    if (weight === undefined || bias === undefined) throw new Error(`there is no ${name}`);
    return { weight, bias };
  }

  override conv2d(x: Tensor, name: string, options: nn.Conv2dOptions): Tensor {
    const { weight, bias } = this.#named(name), u = this.#u;
    const [O, C, kH, kW] = weight.shape, all = [sizes(x), sizes(weight)] as const;
    this.#analysis = (y) => {
      const terms = (count: number) => count + 2 + FAST_CONVOLUTION;
      const outputs = y.data.length / O;
      return {
        forward: sums(y, nn.conv2d(...all, sizes(bias), options), terms(C * kH * kW), u),
        backward: (dY) => {
          const exact = nn.conv2dBackward(dY, x, weight, options);
          const size = nn.conv2dBackward(sizes(dY), ...all, options);
          return {
            inputs: [sums(exact.dX, size.dX, terms(O * kH * kW), u)],
            parameters: [
              sums(exact.dWeight, size.dWeight, terms(outputs), u),
              sums(exact.dBias, size.dBias, outputs, u),
            ],
          };
        },
      };
    };
    return super.conv2d(x, name, options);
  }

  override linear(x: Tensor, name: string): Tensor {
    const { weight, bias } = this.#named(name), u = this.#u;
    const [O, I] = weight.shape, rows = x.data.length / I;
    const all = [sizes(x), sizes(weight)] as const;
    this.#analysis = (y) => ({
      forward: sums(y, nn.linear(...all, sizes(bias)), I + 2, u),
      backward: (dY) => {
        const exact = nn.linearBackward(dY, x, weight);
        const size = nn.linearBackward(sizes(dY), ...all);
        return {
          inputs: [sums(exact.dX, size.dX, O + 1, u)],
          parameters: [
            sums(exact.dWeight, size.dWeight, rows + 1, u),
            sums(exact.dBias, size.dBias, rows, u),
          ],
        };
      },
    });
    return super.linear(x, name);
  }

  override groupNorm(x: Tensor, name: string, options: nn.GroupNormOptions): Tensor {
    const { weight, bias } = this.#named(name);
    this.#analysis = () => normErrors(x, weight, bias, options, this.#u);
    return super.groupNorm(x, name, options);
  }

  override attention(q: Tensor, k: Tensor, v: Tensor): Tensor {
    this.#analysis = () => attentionErrors(q, k, v, this.#u);
    return super.attention(q, k, v);
  }

  override silu(x: Tensor): Tensor {
    const u = this.#u;
    // e^−x is off by (6 + 4|x|)u of itself; then a sum, a quotient and a product.
    const share = (v: number) => 1 / (1 + Math.exp(-v));
    const ofShare = (v: number) => ((6 + 4 * Math.abs(v)) * (1 - share(v)) + 5) * u;
    this.#analysis = (y) => ({
      forward: both(
        independent(y.data.map((v, i) => Math.abs(v) * ofShare(x.data[i]))),
        relative(y, 1, u),
      ),
      backward: (dY) => {
        const slopes = x.data.map((v) => {
          const s = share(v), size = Math.abs(v);
          return s * ((ofShare(v) + 4 * u) * (1 + size * (1 - s)) + size * (ofShare(v) * s + u));
        });
        const dX = nn.siluBackward(dY, x);
        return {
          inputs: [
            both(independent(dY.data.map((d, i) => Math.abs(d) * slopes[i])), relative(dX, 1, u)),
          ],
        };
      },
    });
    return super.silu(x);
  }

  override timeEmbedding(
    times: readonly number[],
    dim: number,
    options: nn.TimeEmbeddingOptions,
    x: Tensor,
  ): Tensor {
    const u = this.#u, half = Math.floor(dim / 2), { shift = 1, maxPeriod = 10000 } = options;
    // A frequency is an exponential of a product, one for all times; its angle's sine and cosine follow.
    const exponent = (i: number) => i === 0 ? 0 : Math.log(maxPeriod) * i / (half - shift);
    const [sinAt, cosAt] = options.order === "cosSin" ? [half, 0] : [0, half];
    const forward: Errors = (sign) => {
      const errors = new Float64Array(times.length * dim);
      range(half).forEach((i) => {
        const frequency = Math.exp(-exponent(i));
        const ofFrequency = sign() * frequency * (i === 0 ? 0 : (6 + 10 * exponent(i)) * u);
        times.forEach((t, n) => {
          const angle = t * frequency, moved = t * ofFrequency + sign() * 2 * u * angle;
          errors[n * dim + sinAt + i] = Math.cos(angle) * moved + sign() * 9 * u;
          errors[n * dim + cosAt + i] = -Math.sin(angle) * moved + sign() * 9 * u;
        });
      });
      return errors;
    };
    this.#analysis = () => ({ forward, backward: () => ({ inputs: [] }) });
    return super.timeEmbedding(times, dim, options, x);
  }

  override embedding(labels: readonly number[], name: string): Tensor {
    const table = this.#parameters.get(`${name}.weight`) as Tensor, u = this.#u;
    this.#analysis = (y) => ({
      forward: none(y.data.length),
      backward: (dY) => {
        const exact = nn.embeddingBackward(dY, labels, table);
        const size = nn.embeddingBackward(sizes(dY), labels, table);
        return { inputs: [], parameters: [sums(exact, size, labels.length, u)] };
      },
    });
    return super.embedding(labels, name);
  }

  override add(a: Tensor, b: Tensor, scale: number): Tensor {
    const roundings = scale === 1 ? 0 : 4, u = this.#u;
    this.#analysis = (y) => ({
      forward: relative(y, 1 + roundings, u),
      backward: (dY) => {
        const errors = relative(nn.addBackward(dY, scale), roundings, u);
        return { inputs: [errors, errors] };
      },
    });
    return super.add(a, b, scale);
  }

  override addPerChannel(x: Tensor, e: Tensor): Tensor {
    const u = this.#u, P = x.data.length / e.data.length;
    this.#analysis = (y) => ({
      forward: relative(y, 1, u),
      backward: (dY) => {
        const exact = nn.addPerChannelBackward(dY), size = nn.addPerChannelBackward(sizes(dY));
        return { inputs: [none(dY.data.length), sums(exact.dE, size.dE, P, u)] };
      },
    });
    return super.addPerChannel(x, e);
  }

  override scaleShift(x: Tensor, e: Tensor): Tensor {
    const u = this.#u, P = 2 * x.data.length / e.data.length;
    this.#analysis = (y) => ({
      // (1 + scale)·x takes two roundings, before the shift is added or as the norm's own weight.
      forward: sums(y, nn.scaleShift(sizes(x), sizes(e)), 3, u),
      backward: (dY) => {
        const exact = nn.scaleShiftBackward(dY, x, e);
        const size = nn.scaleShiftBackward(sizes(dY), sizes(x), sizes(e));
        return {
          inputs: [sums(exact.dX, size.dX, 2, u), sums(exact.dE, size.dE, P + 2, u)],
        };
      },
    });
    return super.scaleShift(x, e);
  }

  override concatChannels(a: Tensor, b: Tensor): Tensor {
    this.#analysis = (y) => ({
      forward: none(y.data.length),
      backward: () => ({ inputs: [none(a.data.length), none(b.data.length)] }),
    });
    return super.concatChannels(a, b);
  }

  override nearestUpsample(x: Tensor): Tensor {
    this.#analysis = (y) => ({
      forward: none(y.data.length),
      backward: (dY) => {
        const exact = nn.nearestUpsampleBackward(dY, x);
        return { inputs: [sums(exact, nn.nearestUpsampleBackward(sizes(dY), x), 4, this.#u)] };
      },
    });
    return super.nearestUpsample(x);
  }

  override averagePool(x: Tensor): Tensor {
    this.#analysis = (y) => ({
      forward: sums(y, nn.averagePool(sizes(x)), 5, this.#u),
      backward: (dY) => ({ inputs: [relative(nn.averagePoolBackward(dY, x), 1, this.#u)] }),
    });
    return super.averagePool(x);
  }

  override centered(x: Tensor): Tensor {
    this.#analysis = (y) => ({
      forward: independent(y.data.map((v) => 2 * this.#u * (Math.abs(v) + 1))),
      backward: () => ({ inputs: [none(x.data.length)] }),
    });
    return super.centered(x);
  }

  override rearrange(x: Tensor, shape: readonly number[], axes: readonly number[]): Tensor {
    this.#analysis = moved;
    return super.rearrange(x, shape, axes);
  }

  override reshape(x: Tensor, shape: readonly number[]): Tensor {
    this.#analysis = moved;
    return super.reshape(x, shape);
  }
}

function moved(y: Tensor): LayerErrors {
  const errors = none(y.data.length);
  return { forward: errors, backward: () => ({ inputs: [errors] }) };
}
