/**
 * One layer of the network, forward and, given dY, backward. What a layer would allocate beyond its
 * inputs is checked before it runs.
 *
 * @module
 */
import type { Tensor } from "../../math/tensor.ts";
import { attention, attentionBackward } from "../../reference/nn/attention.ts";
import { conv2d, conv2dBackward, type Padding } from "../../reference/nn/conv2d.ts";
import { groupNorm, groupNormBackward } from "../../reference/nn/group_norm.ts";
import { linear, linearBackward } from "../../reference/nn/linear.ts";
import { silu, siluBackward } from "../../reference/nn/silu.ts";
import { upsample, upsampleBackward } from "../../reference/nn/upsample.ts";
import { checkInteger, unexpected } from "../../math/errors.ts";
import { checkRank } from "../../math/tensor.ts";
import {
  choiceField,
  type Fields,
  integerField,
  numberField,
  numbersField,
  valueOf,
} from "../fields.ts";
import type { Result } from "../result.ts";
import { checkResultSize, optionalTensorField, tensorField } from "../tensors.ts";

const MAX_SIZE = 2 ** 20;

/** A layer's output and, with dY, its gradients by name; a null one has no tensor to belong to. */
interface Layer {
  readonly y: Tensor;
  readonly backward: (dY: Tensor) => Readonly<Record<string, Tensor | null>>;
}

function paddingField(request: Fields): Padding {
  const padding = numbersField(request, "padding");
  if (padding.length !== 4) unexpected("padding to be [top, bottom, left, right]", padding);
  const [top, bottom, left, right] = padding.map((p) => checkInteger("padding", p, 0, MAX_SIZE));
  return [top, bottom, left, right];
}

/** Checks the images that a convolution works on: padded x, spread out dY, and y. */
function checkConvolution(x: Tensor, weight: Tensor, stride: number, padding: Padding): void {
  checkRank("x", x, "N, C, H, W");
  checkRank("weight", weight, "O, C, kH, kW");
  const [N, C, H, W] = x.shape, [O, , kH, kW] = weight.shape;
  const [top, bottom, left, right] = padding;
  const height = H + top + bottom, width = W + left + right;
  checkResultSize("a padded image", [C, height, width]);
  checkResultSize("a spread out gradient", [O, H + kH - 1, W + kW - 1]);
  const size = (padded: number, k: number) => Math.max(Math.floor((padded - k) / stride) + 1, 0);
  checkResultSize("a result", [N, O, size(height, kH), size(width, kW)]);
}

function convolution(request: Fields, bias: Tensor | null, stride: number): Layer {
  const x = tensorField(request, "x"), weight = tensorField(request, "weight");
  const options = { stride, padding: paddingField(request) };
  checkConvolution(x, weight, stride, options.padding);
  return {
    y: conv2d(x, weight, bias, options),
    backward: (dY) => {
      const { dX, dWeight, dBias } = conv2dBackward(dY, x, weight, options);
      return { dX, dWeight, dBias: bias && dBias };
    },
  };
}

function conv2dLayer(request: Fields): Layer {
  const stride = integerField(request, "stride", 1, MAX_SIZE);
  return convolution(request, optionalTensorField(request, "bias"), stride);
}

function downsampleLayer(request: Fields): Layer {
  return convolution(request, tensorField(request, "bias"), 2);
}

function groupNormLayer(request: Fields): Layer {
  const x = tensorField(request, "x"), weight = tensorField(request, "weight");
  const options = {
    groups: integerField(request, "groups", 1, MAX_SIZE),
    eps: numberField(request, "eps"),
  };
  if (options.eps < 0) unexpected("eps of at least 0", options.eps);
  return {
    y: groupNorm(x, weight, tensorField(request, "bias"), options),
    backward: (dY) => ({ ...groupNormBackward(dY, x, weight, options) }),
  };
}

function siluLayer(request: Fields): Layer {
  const x = tensorField(request, "x");
  return { y: silu(x), backward: (dY) => ({ dX: siluBackward(dY, x) }) };
}

function linearLayer(request: Fields): Layer {
  const x = tensorField(request, "x"), weight = tensorField(request, "weight");
  const bias = optionalTensorField(request, "bias");
  if (x.shape.length === 0) unexpected("x of shape […, I]", x.shape);
  checkResultSize("a result", [...x.shape.slice(0, -1), weight.shape[0] ?? 1]);
  return {
    y: linear(x, weight, bias),
    backward: (dY) => {
      const { dX, dWeight, dBias } = linearBackward(dY, x, weight);
      return { dX, dWeight, dBias: bias && dBias };
    },
  };
}

function attentionLayer(request: Fields): Layer {
  const q = tensorField(request, "q"), k = tensorField(request, "k"), v = tensorField(request, "v");
  checkRank("q", q, "N, heads, L, D");
  checkRank("k", k, "N, heads, L, D");
  checkResultSize("a matrix of attention scores", [q.shape[2], k.shape[2]]);
  const options = { scale: numberField(request, "scale", 1 / Math.sqrt(q.shape[3])) };
  return {
    y: attention(q, k, v, options),
    backward: (dY) => ({ ...attentionBackward(dY, q, k, v, options) }),
  };
}

function upsampleLayer(request: Fields): Layer {
  const x = tensorField(request, "x");
  const weight = optionalTensorField(request, "weight");
  const bias = optionalTensorField(request, "bias");
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  if (weight !== null) {
    checkRank("weight", weight, "O, C, 3, 3");
    if (weight.shape[2] !== 3 || weight.shape[3] !== 3) {
      unexpected("weight of shape [O, C, 3, 3]", weight.shape);
    }
  }
  const O = weight?.shape[0] ?? C;
  checkResultSize("a result", [N, Math.max(O, C), 2 * H, 2 * W]);
  return {
    y: upsample(x, weight, bias),
    backward: (dY) => {
      const { dX, dWeight, dBias } = upsampleBackward(dY, x, weight);
      return { dX, dWeight, dBias: bias && dBias };
    },
  };
}

const LAYERS = {
  conv2d: conv2dLayer,
  groupNorm: groupNormLayer,
  silu: siluLayer,
  linear: linearLayer,
  attention: attentionLayer,
  upsample: upsampleLayer,
  downsample: downsampleLayer,
};

/** Names of the layers. */
export const LAYER_NAMES = Object.keys(LAYERS) as readonly (keyof typeof LAYERS)[];

/** One layer: y and, given the gradient dY, the gradients of its inputs. */
export function layerOp(request: Fields): Result {
  const { y, backward } = LAYERS[choiceField(request, "layer", LAYER_NAMES)](request);
  if (valueOf(request, "gradient") === undefined) return { y };
  const grads: Record<string, Tensor> = {};
  for (const [name, grad] of Object.entries(backward(tensorField(request, "gradient")))) {
    if (grad !== null) grads[name] = grad;
  }
  return { y, grads };
}
