import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Appends b's channels to a's.
 *
 * @param a `[N, A, H, W]`
 * @param b `[N, B, H, W]`
 * @returns `[N, A + B, H, W]`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function concatChannels(a: Tensor, b: Tensor): Tensor {
  checkRank("a", a, "N, A, H, W");
  checkRank("b", b, "N, B, H, W");
  const [N, A, H, W] = a.shape;
  const B = b.shape[1];
  checkShape("b", b, [N, B, H, W]);
  const y = zerosLike(a, [N, A + B, H, W]);
  const sizeA = A * H * W, sizeB = B * H * W;
  for (let n = 0; n < N; n++) {
    y.data.set(a.data.subarray(n * sizeA, (n + 1) * sizeA), n * (sizeA + sizeB));
    y.data.set(b.data.subarray(n * sizeB, (n + 1) * sizeB), n * (sizeA + sizeB) + sizeA);
  }
  return y;
}

/**
 * Gradients of `concatChannels`: dY cut after its first A channels.
 *
 * @param dY `[N, A + B, H, W]`
 * @throws {ArgumentError} if dY has fewer than A channels.
 */
export function concatChannelsBackward(
  dY: Tensor,
  A: number,
): { readonly dA: Tensor; readonly dB: Tensor } {
  checkRank("dY", dY, "N, A + B, H, W");
  const [N, both, H, W] = dY.shape;
  const dA = zerosLike(dY, [N, A, H, W]);
  const dB = zerosLike(dY, [N, both - A, H, W]);
  const size = both * H * W, cut = A * H * W;
  for (let n = 0; n < N; n++) {
    dA.data.set(dY.data.subarray(n * size, n * size + cut), n * cut);
    dB.data.set(dY.data.subarray(n * size + cut, (n + 1) * size), n * (size - cut));
  }
  return { dA, dB };
}
