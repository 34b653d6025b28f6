/**
 * The layers as the U-Net calls them: parameters by name, and every call noted on the tape.
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import type { Tensor } from "../math/tensor.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import * as nn from "./nn/mod.ts";
import { zerosLike } from "./nn/zeros_like.ts";
import type { StepGradients, TapeStep } from "./tape.ts";

/** The layers of one forward pass. */
export class Layers {
  readonly #parameters: Parameters;
  readonly #steps: TapeStep[] | null;

  /** `steps` receives every layer that is run; null keeps nothing, so memory is freed on the way. */
  constructor(parameters: Parameters, steps: TapeStep[] | null) {
    this.#parameters = parameters;
    this.#steps = steps;
  }

  /** What becomes of a computed tensor before it is used; the identity but in studies of rounding. */
  protected stored(y: Tensor): Tensor {
    return y;
  }

  #note(computed: Tensor, backward: (dY: Tensor) => StepGradients): Tensor {
    const output = this.stored(computed);
    this.#steps?.push({ output, backward });
    return output;
  }

  #parameter(name: string): Tensor {
    return this.#parameters.get(name) ?? unexpected(`a parameter ${name}`, undefined);
  }

  conv2d(x: Tensor, name: string, options: nn.Conv2dOptions): Tensor {
    const weight = this.#parameter(`${name}.weight`), bias = this.#parameter(`${name}.bias`);
    return this.#note(nn.conv2d(x, weight, bias, options), (dY) => {
      const { dX, dWeight, dBias } = nn.conv2dBackward(dY, x, weight, options);
      return { inputs: [[x, dX]], parameters: named(name, dWeight, dBias) };
    });
  }

  linear(x: Tensor, name: string): Tensor {
    const weight = this.#parameter(`${name}.weight`), bias = this.#parameter(`${name}.bias`);
    return this.#note(nn.linear(x, weight, bias), (dY) => {
      const { dX, dWeight, dBias } = nn.linearBackward(dY, x, weight);
      return { inputs: [[x, dX]], parameters: named(name, dWeight, dBias) };
    });
  }

  groupNorm(x: Tensor, name: string, options: nn.GroupNormOptions): Tensor {
    const weight = this.#parameter(`${name}.weight`), bias = this.#parameter(`${name}.bias`);
    return this.#note(nn.groupNorm(x, weight, bias, options), (dY) => {
      const { dX, dWeight, dBias } = nn.groupNormBackward(dY, x, weight, options);
      return { inputs: [[x, dX]], parameters: named(name, dWeight, dBias) };
    });
  }

  embedding(labels: readonly number[], name: string): Tensor {
    const table = this.#parameter(`${name}.weight`);
    return this.#note(nn.embedding(labels, table), (dY) => {
      const dTable = nn.embeddingBackward(dY, labels, table);
      return { inputs: [], parameters: [[`${name}.weight`, dTable]] };
    });
  }

  /** Sinusoidal embeddings `[N, dim]`, stored as x is. */
  timeEmbedding(
    times: readonly number[],
    dim: number,
    options: nn.TimeEmbeddingOptions,
    x: Tensor,
  ): Tensor {
    const y = zerosLike(x, [times.length, dim]);
    y.data.set(nn.timeEmbeddingDoubles(times, dim, options));
    return this.#note(y, () => ({ inputs: [] }));
  }

  silu(x: Tensor): Tensor {
    return this.#note(nn.silu(x), (dY) => ({ inputs: [[x, nn.siluBackward(dY, x)]] }));
  }

  attention(q: Tensor, k: Tensor, v: Tensor): Tensor {
    return this.#note(nn.attention(q, k, v), (dY) => {
      const { dQ, dK, dV } = nn.attentionBackward(dY, q, k, v);
      return { inputs: [[q, dQ], [k, dK], [v, dV]] };
    });
  }

  dropout(x: Tensor, options: nn.DropoutOptions): Tensor {
    return this.#note(
      nn.dropout(x, options),
      (dY) => ({ inputs: [[x, nn.dropoutBackward(dY, options)]] }),
    );
  }

  add(a: Tensor, b: Tensor, scale: number): Tensor {
    return this.#note(nn.add(a, b, scale), (dY) => {
      const d = nn.addBackward(dY, scale);
      return { inputs: [[a, d], [b, d]] };
    });
  }

  addPerChannel(x: Tensor, e: Tensor): Tensor {
    return this.#note(nn.addPerChannel(x, e), (dY) => {
      const { dX, dE } = nn.addPerChannelBackward(dY);
      return { inputs: [[x, dX], [e, dE]] };
    });
  }

  scaleShift(x: Tensor, e: Tensor): Tensor {
    return this.#note(nn.scaleShift(x, e), (dY) => {
      const { dX, dE } = nn.scaleShiftBackward(dY, x, e);
      return { inputs: [[x, dX], [e, dE]] };
    });
  }

  concatChannels(a: Tensor, b: Tensor): Tensor {
    return this.#note(nn.concatChannels(a, b), (dY) => {
      const { dA, dB } = nn.concatChannelsBackward(dY, a.shape[1]);
      return { inputs: [[a, dA], [b, dB]] };
    });
  }

  nearestUpsample(x: Tensor): Tensor {
    return this.#note(
      nn.nearestUpsample(x),
      (dY) => ({ inputs: [[x, nn.nearestUpsampleBackward(dY, x)]] }),
    );
  }

  averagePool(x: Tensor): Tensor {
    return this.#note(
      nn.averagePool(x),
      (dY) => ({ inputs: [[x, nn.averagePoolBackward(dY, x)]] }),
    );
  }

  centered(x: Tensor): Tensor {
    return this.#note(
      nn.centered(x),
      (dY) => ({ inputs: [[x, nn.centeredBackward(dY)]] }),
    );
  }

  /** x as `shape` with its dimensions then exchanged by `axes`. */
  rearrange(x: Tensor, shape: readonly number[], axes: readonly number[]): Tensor {
    return this.#note(nn.permute(nn.reshape(x, shape), axes), (dY) => {
      const dX = nn.reshape(nn.permute(dY, nn.inverseAxes(axes)), x.shape);
      return { inputs: [[x, dX]] };
    });
  }

  /** x as `shape`. */
  reshape(x: Tensor, shape: readonly number[]): Tensor {
    return this.#note(
      nn.reshape(x, shape),
      (dY) => ({ inputs: [[x, nn.reshape(dY, x.shape)]] }),
    );
  }
}

function named(name: string, dWeight: Tensor, dBias: Tensor): readonly [string, Tensor][] {
  return [[`${name}.weight`, dWeight], [`${name}.bias`, dBias]];
}
