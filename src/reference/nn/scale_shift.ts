import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Scales and shifts each channel of each sample (Dhariwal and Nichol 2021, equation 3):
 * y = x·(1 + e[n,c]) + e[n,C+c].
 *
 * @param x `[N, C, H, W]`
 * @param e `[N, 2C]`, scales then shifts.
 * @throws {ArgumentError} if shapes do not fit.
 */
export function scaleShift(x: Tensor, e: Tensor): Tensor {
  const { N, C, P } = scaleShiftSizes(x, e);
  const y = zerosLike(x);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      const scale = 1 + e.data[n * 2 * C + c], shift = e.data[n * 2 * C + C + c];
      const start = (n * C + c) * P;
      for (let i = start; i < start + P; i++) y.data[i] = x.data[i] * scale + shift;
    }
  }
  return y;
}

/**
 * Gradients of `scaleShift`: dX = dY·(1 + scale), dE = [Σ dY·x, Σ dY] over positions.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function scaleShiftBackward(
  dY: Tensor,
  x: Tensor,
  e: Tensor,
): { readonly dX: Tensor; readonly dE: Tensor } {
  const { N, C, P } = scaleShiftSizes(x, e);
  checkShape("dY", dY, x.shape);
  const dX = zerosLike(x), dE = zerosLike(e);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      const scale = 1 + e.data[n * 2 * C + c];
      const start = (n * C + c) * P;
      let sumScale = 0, sumShift = 0;
      for (let i = start; i < start + P; i++) {
        dX.data[i] = dY.data[i] * scale;
        sumScale += dY.data[i] * x.data[i];
        sumShift += dY.data[i];
      }
      dE.data[n * 2 * C + c] = sumScale;
      dE.data[n * 2 * C + C + c] = sumShift;
    }
  }
  return { dX, dE };
}

function scaleShiftSizes(x: Tensor, e: Tensor): { N: number; C: number; P: number } {
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  checkShape("e", e, [N, 2 * C]);
  return { N, C, P: H * W };
}
