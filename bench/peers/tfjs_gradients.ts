/**
 * Gradients of the operations that the peer U-Net uses. `@tensorflow/tfjs-core` alone registers none, and
 * the package that does comes with much more; these call the same kernels.
 *
 * @module
 */
import * as tf from "npm:@tensorflow/tfjs-core@4.22.0";

/** By input, how its gradient is computed. */
type GradientMap = Record<string, () => tf.Tensor>;
type Grad = (dy: tf.Tensor, saved: tf.Tensor[], attrs: tf.NamedAttrMap) => GradientMap;

/** Which inputs and outputs a gradient needs, and the gradient. */
interface Rule {
  readonly inputs?: string[];
  readonly output?: boolean;
  readonly grad: Grad;
}

const RULES: Readonly<Record<string, Rule>> = {
  Add: {
    inputs: ["a", "b"],
    grad: (dy, [a, b]) => ({ a: () => sumTo(dy, a.shape), b: () => sumTo(dy, b.shape) }),
  },
  Sub: {
    inputs: ["a", "b"],
    grad: (dy, [a, b]) => ({ a: () => sumTo(dy, a.shape), b: () => sumTo(tf.neg(dy), b.shape) }),
  },
  Multiply: {
    inputs: ["a", "b"],
    grad: (dy, [a, b]) => ({
      a: () => sumTo(tf.mul(dy, b), a.shape),
      b: () => sumTo(tf.mul(dy, a), b.shape),
    }),
  },
  Square: { inputs: ["x"], grad: (dy, [x]) => ({ x: () => tf.mul(dy, tf.mul(x, 2)) }) },
  Sigmoid: {
    output: true,
    grad: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(y, tf.sub(1, y))) }),
  },
  Rsqrt: {
    output: true,
    grad: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(tf.mul(y, tf.square(y)), -0.5)) }),
  },
  Mean: {
    inputs: ["x"],
    grad: (dy, [x], { axis }) => ({
      x: () => {
        const axes = typeof axis === "number" ? [axis] : axis as number[] | null;
        const reduced = x.shape.map((size, d) => axes === null || axes.includes(d) ? 1 : size);
        const count = x.size / dy.size;
        return tf.mul(tf.div(tf.reshape(dy, reduced), count), tf.onesLike(x));
      },
    }),
  },
  Sum: { inputs: ["x"], grad: (dy, [x]) => ({ x: () => tf.mul(dy, tf.onesLike(x)) }) },
  Cast: { grad: (dy) => ({ x: () => dy }) },
  Reshape: { inputs: ["x"], grad: (dy, [x]) => ({ x: () => tf.reshape(dy, x.shape) }) },
  Softmax: {
    output: true,
    grad: (dy, [y]) => ({
      logits: () => {
        const weighted = tf.mul(dy, y);
        return tf.sub(weighted, tf.mul(tf.sum(weighted, -1, true), y));
      },
    }),
  },
  PadV2: {
    inputs: ["x"],
    grad: (dy, [x], { paddings }) => ({
      x: () => tf.slice(dy, (paddings as [number, number][]).map(([before]) => before), x.shape),
    }),
  },
  BatchMatMul: {
    inputs: ["a", "b"],
    grad: (dy, [a, b], { transposeB }) => ({
      a: () => tf.matMul(dy, b, false, !transposeB),
      b: () => transposeB ? tf.matMul(dy, a, true, false) : tf.matMul(a, dy, true, false),
    }),
  },
  Conv2D: {
    inputs: ["x", "filter"],
    grad: (dy, [x, filter], { strides, pad, dataFormat }) => ({
      x: () =>
        tf.engine().runKernel("Conv2DBackpropInput", { dy, filter }, {
          strides,
          pad,
          dataFormat,
          inputShape: x.shape,
        }) as tf.Tensor,
      filter: () =>
        tf.engine().runKernel("Conv2DBackpropFilter", { x, dy }, {
          strides,
          pad,
          dataFormat,
          filterShape: filter.shape,
        }) as tf.Tensor,
    }),
  },
  // Only ever a doubling here: each pixel gets the sum of its four copies.
  ResizeNearestNeighbor: {
    grad: (dy) => ({ images: () => tf.mul(tf.avgPool(dy as tf.Tensor4D, 2, 2, "valid"), 4) }),
  },
};

/** Registers every gradient that the peer U-Net needs. */
export function registerGradients(): void {
  for (const [kernelName, { inputs, output, grad }] of Object.entries(RULES)) {
    tf.registerGradient({
      kernelName,
      inputsToSave: inputs,
      outputsToSave: output ? [true] : [],
      gradFunc: (dy, saved, attrs) => grad(dy as tf.Tensor, saved, attrs),
    });
  }
  tf.registerGradient({
    kernelName: "Concat",
    saveAllInputs: true,
    gradFunc: (dy, saved, { axis }) => {
      const parts = tf.split(
        dy as tf.Tensor,
        saved.map(({ shape }) => shape[axis as number]),
        axis as number,
      );
      return parts.map((part) => () => part) as unknown as GradientMap;
    },
  });
}

/** dy summed over the dimensions along which `shape` was broadcast. */
function sumTo(dy: tf.Tensor, shape: number[]): tf.Tensor {
  const leading = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((size, d) =>
    d < leading || shape[d - leading] === 1 && size > 1 ? [d] : []
  );
  return tf.reshape(axes.length === 0 ? dy : tf.sum(dy, axes), shape);
}
