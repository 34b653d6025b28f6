import { ArgumentError, checkFinite } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import { forEachSample } from "./step.ts";

/** (sin((1−f)θ)/sin θ, sin(fθ)/sin θ), or their limit (1−f, f) for parallel vectors. */
function slerpWeights(cosine: number, fraction: number): [number, number] {
  const theta = Math.acos(Math.min(Math.max(cosine, -1), 1));
  const sine = Math.sin(theta);
  if (theta === 0) return [1 - fraction, fraction];
  // The cosine of opposite float32 vectors is −1 up to roundings, which acos turns into their root.
  if (cosine < 0 && sine < 1e-6) {
    throw new ArgumentError("Expected vectors that are not opposite but got an angle of π");
  }
  return [Math.sin((1 - fraction) * theta) / sine, Math.sin(fraction * theta) / sine];
}

/**
 * Spherical interpolation between the noises of two samples,
 * (sin((1−f)θ)·a + sin(fθ)·b)/sin θ with cos θ = a·b/(|a||b|) (Song et al. 2021, appendix D.5), so
 * that what lies between two normal draws has the norm of one. Each sample has its own θ.
 *
 * @param a shape `[N, …]`.
 * @param b shaped like `a`.
 * @param fraction f: 0 gives `a`, 1 gives `b`.
 * @throws {ArgumentError} if the shapes differ, or a sample's vectors are zero or opposite.
 */
export function slerp(a: Tensor, b: Tensor, fraction: number): Tensor {
  checkShape("b", b, a.shape);
  checkFinite("fraction", fraction);
  const out = new Float64Array(a.data.length);
  forEachSample(a.shape, (_, start, end) => {
    let dot = 0, squareA = 0, squareB = 0;
    for (let i = start; i < end; i++) {
      dot += a.data[i] * b.data[i];
      squareA += a.data[i] ** 2;
      squareB += b.data[i] ** 2;
    }
    if (squareA === 0 || squareB === 0) {
      throw new ArgumentError("Expected vectors with a direction but got a zero vector");
    }
    const [wa, wb] = slerpWeights(dot / Math.sqrt(squareA * squareB), fraction);
    for (let i = start; i < end; i++) out[i] = wa * a.data[i] + wb * b.data[i];
  });
  return tensor(a.shape, out);
}
