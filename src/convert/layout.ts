/**
 * Values of one layout in the order of another.
 *
 * @module
 */
import { type Shape, sizeOf, type Tensor } from "../math/tensor.ts";
import type { Layout } from "./original_names.ts";

/** The shape that a parameter of our shape has in a file of another layout. */
export function foreignShape(shape: Shape, layout: Layout): Shape {
  switch (layout) {
    case "same":
      return shape;
    case "matrix":
      return [shape[1], shape[0]];
    case "hwio":
      return [shape[2], shape[3], shape[1], shape[0]];
    case "pointwise":
      return [...shape, 1, 1];
  }
}

/** A tensor of {@linkcode foreignShape} as one of ours, of `shape`. */
export function toOurLayout({ data }: Tensor, shape: Shape, layout: Layout): Tensor {
  if (layout === "same" || layout === "pointwise") return { shape, data };
  // Both layouts have the output channels last and what they sum over before them, the kernel's rows and
  // columns outermost: ours has them first, and innermost.
  const [O, I] = shape;
  const K = sizeOf(shape.slice(2));
  const ours = new Float32Array(data.length);
  for (let o = 0; o < O; o++) {
    for (let i = 0; i < I; i++) {
      for (let k = 0; k < K; k++) ours[(o * I + i) * K + k] = data[(k * I + i) * O + o];
    }
  }
  return { shape, data: ours };
}
