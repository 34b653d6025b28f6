/**
 * Group normalisation (Wu and He 2018).
 *
 * @module
 */
import { checkInteger, unexpected } from "../../math/errors.ts";
import { checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/** What a group norm is made with. */
export interface GroupNormOptions {
  /** Number of groups, a divisor of C. */
  readonly groups: number;
  /** ε, added to the variance. */
  readonly eps: number;
}

/**
 * y = weight_c·x̂ + bias_c with x̂ = (x − mean)/√(variance + eps), mean and (biased) variance taken
 * over the C/groups channels of a group and all positions, per sample.
 *
 * @param x `[N, C, …]`
 * @param weight `[C]`
 * @param bias `[C]`
 * @returns the shape of x.
 * @throws {ArgumentError} if shapes do not fit or the groups do not divide C.
 */
export function groupNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: GroupNormOptions,
): Tensor {
  checkGroups(x, weight, options);
  checkShape("bias", bias, weight.shape);
  const y = zerosLike(x);
  eachGroup(x, options, ({ start, positions, firstChannel, channels, mean, inverseStd }) => {
    for (let c = 0, i = start; c < channels; c++) {
      const w = weight.data[firstChannel + c], b = bias.data[firstChannel + c];
      for (const end = i + positions; i < end; i++) {
        y.data[i] = w * (x.data[i] - mean) * inverseStd + b;
      }
    }
  });
  return y;
}

/** Gradients of a group norm with respect to its inputs. */
export interface GroupNormGradients {
  /** `[N, C, …]` */
  readonly dX: Tensor;
  /** `[C]` */
  readonly dWeight: Tensor;
  /** `[C]` */
  readonly dBias: Tensor;
}

/**
 * Gradients of `groupNorm`, given dY of x's shape. With g = weight_c·dY and means over the group:
 * dX = (g − mean(g) − x̂·mean(g·x̂))/√(variance + eps); dWeight_c = Σ dY·x̂; dBias_c = Σ dY.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function groupNormBackward(
  dY: Tensor,
  x: Tensor,
  weight: Tensor,
  options: GroupNormOptions,
): GroupNormGradients {
  checkGroups(x, weight, options);
  checkShape("dY", dY, x.shape);
  const dX = zerosLike(x);
  const C = x.shape[1];
  const weightSums = new Float64Array(C);
  const biasSums = new Float64Array(C);
  eachGroup(x, options, ({ start, positions, firstChannel, channels, mean, inverseStd }) => {
    let sumG = 0, sumGX = 0;
    for (let c = 0, i = start; c < channels; c++) {
      let sumDY = 0, sumDYX = 0;
      for (const end = i + positions; i < end; i++) {
        sumDY += dY.data[i];
        sumDYX += dY.data[i] * (x.data[i] - mean) * inverseStd;
      }
      weightSums[firstChannel + c] += sumDYX;
      biasSums[firstChannel + c] += sumDY;
      sumG += weight.data[firstChannel + c] * sumDY;
      sumGX += weight.data[firstChannel + c] * sumDYX;
    }
    const meanG = sumG / (channels * positions), meanGX = sumGX / (channels * positions);
    for (let c = 0, i = start; c < channels; c++) {
      const w = weight.data[firstChannel + c];
      for (const end = i + positions; i < end; i++) {
        const xHat = (x.data[i] - mean) * inverseStd;
        dX.data[i] = (w * dY.data[i] - meanG - xHat * meanGX) * inverseStd;
      }
    }
  });
  const dWeight = zerosLike(weight);
  dWeight.data.set(weightSums);
  const dBias = zerosLike(weight);
  dBias.data.set(biasSums);
  return { dX, dWeight, dBias };
}

/** One group of one sample: from `start` on, channel after channel of `positions` values. */
interface Group {
  readonly start: number;
  readonly positions: number;
  readonly firstChannel: number;
  readonly channels: number;
  readonly mean: number;
  readonly inverseStd: number;
}

function eachGroup(
  x: Tensor,
  { groups, eps }: GroupNormOptions,
  visit: (group: Group) => void,
): void {
  const [N, C] = x.shape;
  const positions = N * C === 0 ? 0 : x.data.length / (N * C);
  const channels = C / groups;
  const size = channels * positions;
  for (let n = 0; n < N; n++) {
    for (let group = 0; group < groups; group++) {
      const firstChannel = group * channels;
      const start = (n * C + firstChannel) * positions;
      let sum = 0;
      for (let i = start; i < start + size; i++) sum += x.data[i];
      const mean = sum / size;
      let squares = 0;
      for (let i = start; i < start + size; i++) squares += (x.data[i] - mean) ** 2;
      const inverseStd = 1 / Math.sqrt(squares / size + eps);
      visit({ start, positions, firstChannel, channels, mean, inverseStd });
    }
  }
}

function checkGroups(x: Tensor, weight: Tensor, { groups }: GroupNormOptions): void {
  if (x.shape.length < 2) unexpected("x of shape [N, C, …]", x.shape);
  const C = x.shape[1];
  checkShape("weight", weight, [C]);
  checkInteger("groups", groups, 1, C);
  if (C % groups !== 0) unexpected(`groups to divide the ${C} channels`, groups);
}
