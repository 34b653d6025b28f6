/**
 * The classifier of 28×28 grey images whose opinion and features samples are judged by: three
 * convolutions with stride 2, whose 64 channels give the features, a hidden layer, the classes.
 *
 * @module
 */
import { checkShape, type Tensor } from "../math/tensor.ts";
import { groupNorm, groupNormBackward, type GroupNormOptions } from "../reference/nn/group_norm.ts";
import { linear, linearBackward } from "../reference/nn/linear.ts";
import { reshape } from "../reference/nn/permute.ts";
import { silu, siluBackward } from "../reference/nn/silu.ts";
import { zerosLike } from "../reference/nn/zeros_like.ts";
import { initialTensor, type Parameters, type ParameterSpec } from "../spec/unet_parameters.ts";
import { columnsConv, columnsConvBackward } from "./columns_conv.ts";

/** `[C, H, W]` of the images that the classifier takes. */
export const CLASSIFIER_IMAGE: readonly [number, number, number] = [1, 28, 28];
/** Number of features: the channels of the last convolution. */
export const FEATURES = 64;
/** Number of classes. */
export const CLASSES = 10;

/** A convolution of stride 2, each followed by a group norm and SiLU. */
interface ConvSpec {
  readonly name: string;
  readonly norm: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
}

const CONVS: readonly ConvSpec[] = [
  { name: "conv1", norm: "norm1", inChannels: 1, outChannels: 16, kernel: 5 },
  { name: "conv2", norm: "norm2", inChannels: 16, outChannels: 32, kernel: 3 },
  { name: "conv3", norm: "norm3", inChannels: 32, outChannels: FEATURES, kernel: 3 },
];
/** Values of an image after the convolutions: 64 channels of 4 by 4. */
const FLAT = FEATURES * 4 * 4;
/** Values that the last layer reads. */
const HIDDEN = 64;
const NORM: GroupNormOptions = { groups: 4, eps: 1e-5 };

function convOptions({ kernel }: ConvSpec): { stride: number; padding: number } {
  return { stride: 2, padding: (kernel - 1) / 2 };
}

/** Every parameter of the classifier, in the order in which it uses them. */
export const CLASSIFIER_PARAMETERS: readonly ParameterSpec[] = [
  ...CONVS.flatMap(({ name, norm, inChannels, outChannels, kernel }): ParameterSpec[] => [
    ...weightAndBias(name, [outChannels, inChannels, kernel, kernel]),
    { name: `${norm}.weight`, shape: [outChannels], initialiser: "ones" },
    { name: `${norm}.bias`, shape: [outChannels], initialiser: "zeros" },
  ]),
  ...weightAndBias("hidden", [HIDDEN, FLAT]),
  ...weightAndBias("output", [CLASSES, HIDDEN]),
];

function weightAndBias(name: string, shape: readonly number[]): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape, initialiser: "varianceScaling" },
    { name: `${name}.bias`, shape: [shape[0]], initialiser: "zeros" },
  ];
}

/** The weights before the first step; parameter k is drawn from stream ("init", k). */
export function initialClassifier(seed: number): Parameters {
  return new Map(
    CLASSIFIER_PARAMETERS.map((spec, k) => [spec.name, initialTensor(spec, seed, k)]),
  );
}

/** What the classifier makes of images. */
export interface Classification {
  /**
   * `[N, 64]`: the mean over positions of each channel after the last convolution, its norm and SiLU. Later
   * values would say more of the class and less of the image: grain, for one, is lost on them.
   */
  readonly features: Tensor;
  /** `[N, 10]`: logarithms of the classes' probabilities, up to a constant per image. */
  readonly logits: Tensor;
}

/** A classification with what its gradient needs. */
export interface ClassifierPass extends Classification {
  /**
   * Gradients of the parameters, given ∂loss/∂logits.
   *
   * @throws {ArgumentError} if dLogits is not `[N, 10]`.
   */
  readonly backward: (dLogits: Tensor) => Parameters;
}

/**
 * Runs the classifier.
 *
 * @param images `[N, 1, 28, 28]`, values in [−1, 1].
 * @throws {ArgumentError} if the images have another shape.
 */
export function classify(parameters: Parameters, images: Tensor): ClassifierPass {
  const of = (name: string): Tensor => parameters.get(name)!;
  const N = images.shape[0];
  checkShape("images", images, [N, ...CLASSIFIER_IMAGE]);
  const stages: { input: Tensor; convolved: Tensor; normed: Tensor }[] = [];
  let x = images;
  for (const spec of CONVS) {
    const { name, norm } = spec;
    const convolved = columnsConv(x, of(`${name}.weight`), of(`${name}.bias`), convOptions(spec));
    const normed = groupNorm(convolved, of(`${norm}.weight`), of(`${norm}.bias`), NORM);
    stages.push({ input: x, convolved, normed });
    x = silu(normed);
  }
  const last = x.shape;
  const flat = reshape(x, [N, FLAT]);
  const hidden = linear(flat, of("hidden.weight"), of("hidden.bias"));
  const active = silu(hidden);
  const logits = linear(active, of("output.weight"), of("output.bias"));

  const backward = (dLogits: Tensor): Parameters => {
    const gradients = new Map<string, Tensor>();
    const output = linearBackward(dLogits, active, of("output.weight"));
    gradients.set("output.weight", output.dWeight).set("output.bias", output.dBias);
    const inner = linearBackward(siluBackward(output.dX, hidden), flat, of("hidden.weight"));
    gradients.set("hidden.weight", inner.dWeight).set("hidden.bias", inner.dBias);
    let dY: Tensor | null = reshape(inner.dX, last);
    for (let i = CONVS.length - 1; dY !== null; i--) {
      const { name, norm } = CONVS[i], { input, convolved, normed } = stages[i];
      const scaled = groupNormBackward(
        siluBackward(dY, normed),
        convolved,
        of(`${norm}.weight`),
        NORM,
      );
      gradients.set(`${norm}.weight`, scaled.dWeight).set(`${norm}.bias`, scaled.dBias);
      const conv = columnsConvBackward(
        scaled.dX,
        input,
        of(`${name}.weight`),
        convOptions(CONVS[i]),
        i > 0,
      );
      gradients.set(`${name}.weight`, conv.dWeight).set(`${name}.bias`, conv.dBias);
      dY = conv.dX;
    }
    return gradients;
  };
  return { features: channelMeans(x), logits, backward };
}

/** `[N, C]`: the mean of each channel of `[N, C, H, W]`. */
function channelMeans(x: Tensor): Tensor {
  const [N, C, H, W] = x.shape;
  const means = zerosLike(x, [N, C]);
  for (let row = 0; row < N * C; row++) {
    let sum = 0;
    for (let i = row * H * W; i < (row + 1) * H * W; i++) sum += x.data[i];
    means.data[row] = sum / (H * W);
  }
  return means;
}
