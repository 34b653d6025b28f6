/**
 * The rounding errors of a group norm. Mean and deviation are computed once for a group, so their
 * errors move all of its elements together.
 *
 * @module
 */
import { U32 } from "../../../../math/float32.ts";
import type { Tensor } from "../../../../math/tensor.ts";
import type { GroupNormOptions } from "../../../../reference/nn/group_norm.ts";
import { independent, type LayerErrors, range } from "./errors.ts";

/** The moments of one group of one sample and their errors. */
interface Group {
  readonly indices: readonly number[];
  /** (x − mean)/√(variance + eps) by position in the group. */
  readonly normal: readonly number[];
  /** 1/√(variance + eps). */
  readonly inverse: number;
  /** Error of the mean. */
  readonly meanError: number;
  /** Relative error of the inverse. */
  readonly inverseError: number;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, v) => total + v, 0);
}

function groupsOf(x: Tensor, { groups, eps }: GroupNormOptions, u: number): Group[] {
  const [N, C] = x.shape, size = x.data.length / N / groups;
  if (!Number.isInteger(C / groups)) throw new RangeError(`${groups} groups of ${C} channels`);
  return range(N * groups).map((g) => {
    const indices = range(size).map((i) => g * size + i);
    const values = indices.map((i) => x.data[i]);
    const mean = sum(values) / size;
    const variance = sum(values.map((v) => (v - mean) ** 2)) / size;
    const square = sum(values.map((v) => v * v)) / size;
    const inverse = 1 / Math.sqrt(variance + eps);
    // The one-pass form E[x²] − mean² loses in proportion to E[x²].
    const varianceError = (size + 4) * u * square;
    return {
      indices,
      normal: values.map((v) => (v - mean) * inverse),
      inverse,
      meanError: (size + 4) * u * sum(values.map(Math.abs)) / size,
      inverseError: varianceError * inverse * inverse / 2 + 9 * u,
    };
  });
}

/** The errors of a group norm. */
export function normErrors(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: GroupNormOptions,
  u: number,
): LayerErrors {
  const [N, C] = x.shape, P = x.data.length / N / C;
  const channel = (i: number) => Math.floor(i / P) % C;
  const w = (i: number) => weight.data[channel(i)];
  const all = groupsOf(x, options, u);
  return {
    forward: (sign) => {
      const errors = new Float64Array(x.data.length);
      for (const { indices, normal, inverse, meanError, inverseError } of all) {
        const shift = sign() * meanError * inverse, stretch = sign() * inverseError;
        indices.forEach((i, k) => {
          const scaled = Math.abs(w(i) * normal[k]) + Math.abs(bias.data[channel(i)]);
          errors[i] = w(i) * (shift + stretch * normal[k]) + sign() * (4 * u + U32) * scaled;
        });
      }
      return errors;
    },
    backward: (dY) => {
      const ofWeight = new Float64Array(C), ofBias = new Float64Array(C);
      for (const { indices, normal, inverse, meanError, inverseError } of all) {
        indices.forEach((i, k) => {
          const size = Math.abs(dY.data[i]);
          const normalError = meanError * inverse + inverseError * Math.abs(normal[k]);
          ofBias[channel(i)] += (N * P + 1) * u * size;
          ofWeight[channel(i)] += size * ((N * P + 4) * u * Math.abs(normal[k]) + normalError);
        });
      }
      return {
        inputs: [(sign) => {
          const errors = new Float64Array(x.data.length);
          for (const { indices, normal, inverse, meanError, inverseError } of all) {
            const m = indices.length, g = indices.map((i) => w(i) * dY.data[i]);
            const along = g.map((v, k) => v * normal[k]);
            const meanG = sum(g) / m, meanAlong = sum(along) / m;
            const size = (values: readonly number[]) => sum(values.map(Math.abs)) / m;
            const stretch = sign() * inverseError;
            const ofMean = sign() * (m + 4) * u * size(g);
            const ofAlong = sign() * ((m + 6) * u * size(along) +
              inverseError * Math.abs(meanAlong) + meanError * inverse * Math.abs(meanG));
            const shift = sign() * meanError * inverse * meanAlong;
            const stretchNormal = sign() * inverseError * meanAlong;
            indices.forEach((i, k) => {
              const d = g[k] - meanG - normal[k] * meanAlong;
              const own = Math.abs(g[k]) + Math.abs(meanG) + Math.abs(normal[k] * meanAlong);
              errors[i] = inverse * (stretch * d + ofMean + shift +
                normal[k] * (ofAlong + stretchNormal) + sign() * (5 * u * own + U32 * Math.abs(d)));
            });
          }
          return errors;
        }],
        parameters: [independent(ofWeight), independent(ofBias)],
      };
    },
  };
}
