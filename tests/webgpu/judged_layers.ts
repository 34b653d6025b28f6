/**
 * The operations `layer` and `time_embedding`, answered by the layers that networks are built of: each is
 * put alone into a plan, as a network would.
 */
import { type Shape, sizeOf, tensor } from "../../src/math/tensor.ts";
import { type CandidateOp, UnsupportedError } from "../../src/oracle/verify/mod.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { type AttentionModule, unetModules } from "../../src/spec/unet_modules.ts";
import { attentionBlock, conv1x1, conv1x1Backward } from "../../src/webgpu/attention.ts";
import { conv, convBackward, type ConvShape, SAME_3X3 } from "../../src/webgpu/conv.ts";
import { upsample, upsampleBackward } from "../../src/webgpu/kernels/resample.ts";
import {
  linear,
  norm,
  normBackward,
  normStats,
  siluVectors,
  vectors,
} from "../../src/webgpu/layers.ts";
import { type ConvAlgorithm, convKey, defaultVariants, type Gpu } from "../../src/webgpu/mod.ts";
import { type ImageShape, Network } from "../../src/webgpu/network.ts";
import type { PlannedLaunch } from "../../src/webgpu/plan.ts";
import { timeRows } from "../../src/webgpu/time_rows.ts";
import { convAlgorithm } from "../../src/webgpu/variants.ts";
import { fromDevice, toDevice } from "../../src/webgpu/weights.ts";
import { Excerpt } from "./excerpt.ts";
import type { JsonTensor } from "./judged_steps.ts";

/** Its parameters are where layers find theirs: with room for more channels than are drawn. */
const CONFIG: UNetConfig = unetConfig({
  ...{ inChannels: 8, outChannels: 8, layersPerBlock: 1, addAttention: true },
  ...{ downBlockTypes: ["DownBlock2D"], upBlockTypes: ["UpBlock2D"] },
  ...{ blockOutChannels: [8], normNumGroups: 1, attentionHeadDim: null },
});
const ATTENTION = unetModules(CONFIG).find(({ kind }) => kind === "attention") as AttentionModule;

/** Channels, heights and widths that are drawn are among these. */
const SIZES = [1, 2, 3, 4, 5, 6, 7, 8];

interface LayerRequest {
  readonly layer: string;
  readonly x: JsonTensor;
  readonly weight?: JsonTensor | null;
  readonly bias?: JsonTensor | null;
  readonly q: JsonTensor;
  readonly k: JsonTensor;
  readonly v: JsonTensor;
  readonly scale?: number | null;
  readonly stride: 1 | 2;
  readonly padding: ConvShape["padding"];
  readonly groups: number;
  readonly eps: number;
  readonly gradient?: JsonTensor | null;
}

/** Where a layer has its tensors: labels of its output and of that one's gradient, and so on. */
interface Placed {
  readonly y: string;
  readonly shape: Shape;
  readonly dY: string;
  /** Inputs by label, in the layout of the device. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  /** What each gradient of the protocol is read from, with the shape that it has there. */
  readonly gradients: Readonly<Record<string, readonly [label: string, shape: Shape]>>;
}

const floats = (x: JsonTensor): Float32Array => Float32Array.from(x.data);
/** A parameter as the device has it; its name does not matter but for the table of classes. */
const weights = (x: JsonTensor): Float32Array =>
  toDevice({ name: "weight", shape: x.shape }, tensor(x.shape, x.data));
const imagesOf = ([N, C, H, W]: Shape): ImageShape => ({ N, C, H, W });

/** Inputs and gradients of a layer with a weight and a bias, which is zero where the request has none. */
function parametrised(
  name: string,
  { x, weight, bias }: LayerRequest,
  dX: string,
): Pick<Placed, "inputs" | "gradients"> {
  if (!weight) throw new Error("Expected a weight but got none");
  const bShape = bias?.shape ?? weight.shape.slice(0, 1);
  return {
    inputs: {
      x: floats(x),
      [`${name}.weight`]: weights(weight),
      [`${name}.bias`]: bias ? floats(bias) : new Float32Array(bShape[0]),
    },
    gradients: {
      dX: [dX, x.shape],
      dWeight: [`d ${name}.weight`, weight.shape],
      dBias: [`d ${name}.bias`, bShape],
    },
  };
}

/** A convolution, by the algorithm that the default table has for few channels. */
function convolution(net: Network, request: LayerRequest, shape: ConvShape): Placed {
  const { x: { shape: xShape }, weight } = request;
  const [O, , kernel, width] = weight?.shape ?? [];
  if (width !== kernel) throw new UnsupportedError("no convolution that is not square");
  if (kernel === 1 && shape.stride !== 1) {
    throw new UnsupportedError("no 1x1 convolution at stride 2");
  }
  const { padding, upsampled, stride } = shape, [top, bottom, left, right] = padding;
  const side = (length: number, padding: number) =>
    Math.floor(((upsampled ? 2 : 1) * length + padding - kernel) / stride) + 1;
  const x = net.activation("x", imagesOf(xShape));
  const size = { N: x.N, C: O, H: side(x.H, top + bottom), W: side(x.W, left + right) };
  const y = net.activation("y", size), name = kernel === 1 ? `${ATTENTION.name}.to_q` : "conv_in";
  const layer = { kernel, stride, C: x.C, O, H: y.H, W: y.W };
  if (convAlgorithm(net.variants, layer) !== "im2col" && padding.some((rows) => rows !== 1)) {
    throw new UnsupportedError("no fast algorithm that changes the extent");
  }
  if (kernel === 1) conv1x1(net, name, x, y);
  else conv(net, name, x, y, { ...shape, kernel });
  if (net.training) {
    const dX = { view: net.activation("dX", x).view, accumulate: false };
    const dY = net.activation("dY", y);
    if (kernel === 1) conv1x1Backward(net, name, x, dY, dX);
    else convBackward(net, name, x, dY, { ...shape, kernel }, dX);
  }
  const yShape = [y.N, y.C, y.H, y.W];
  return { y: "y", shape: yShape, dY: "dY", ...parametrised(name, request, "dX") };
}

function plainUpsample(net: Network, { x: given }: LayerRequest): Placed {
  const x = net.activation("x", imagesOf(given.shape)), { other } = net.variants;
  const y = net.activation("y", { ...x, H: 2 * x.H, W: 2 * x.W });
  net.add(upsample(other, x, { small: x.view, large: y.view }));
  if (net.training) {
    const dX = net.activation("dX", x), dY = net.activation("dY", y);
    net.add(upsampleBackward(other, x, { small: dX.view, large: dY.view }));
  }
  return {
    ...{ y: "y", shape: [y.N, y.C, y.H, y.W], dY: "dY", inputs: { x: floats(given) } },
    gradients: { dX: ["dX", given.shape] },
  };
}

function groupNorm(net: Network, request: LayerRequest): Placed {
  const { groups, eps } = request, name = "conv_norm_out";
  const x = net.activation("x", imagesOf(request.x.shape)), y = net.activation("y", x);
  const spec = { name, groups, eps, silu: false, scaleShift: null };
  const stats = normStats(net, x, spec);
  norm(net, spec, x, y, stats);
  if (net.training) {
    const dX = { view: net.activation("dX", x).view, accumulate: false };
    normBackward(net, spec, x, net.activation("dY", y).view, stats, dX);
  }
  const { shape } = request.x;
  return { y: "y", shape, dY: "dY", ...parametrised(name, request, "dX") };
}

function linearLayer(net: Network, request: LayerRequest): Placed {
  const name = "time_embedding.linear_1", { data, shape } = request.x;
  const [O, I] = request.weight?.shape ?? [];
  linear(net, name, vectors(net, "x", data.length / I, I), O);
  net.walkBack();
  const labels = { y: name, dY: `d ${name}` };
  return { ...labels, shape: [...shape.slice(0, -1), O], ...parametrised(name, request, "d x") };
}

function siluLayer(net: Network, { x }: LayerRequest): Placed {
  siluVectors(net, vectors(net, "x", 1, x.data.length));
  net.walkBack();
  return {
    ...{ y: "silu x", shape: x.shape, dY: "d silu x", inputs: { x: floats(x) } },
    gradients: { dX: ["d x", x.shape] },
  };
}

/** `[N, heads, A, B]` as `[N, heads, B, A]`: on the device positions come last. */
function swapped(data: ArrayLike<number>, [N, heads, A, B]: Shape): Float32Array {
  return Float32Array.from({ length: N * heads * A * B }, (_, i) => {
    const block = Math.floor(i / (A * B)), b = Math.floor(i / A) % B;
    return data[block * A * B + (i % A) * B + b];
  });
}

/** The block of a network: q, k and v, which it projects, are written in their place. */
function attention(net: Network, { q, k, v, scale }: LayerRequest): Placed {
  const [N, heads, L, D] = q.shape, { name } = ATTENTION;
  if (scale && scale !== 1 / Math.sqrt(D)) {
    throw new UnsupportedError("no scale of attention other than 1/√D");
  }
  const h = net.activation("h", { N, C: heads * D, H: L, W: 1 }), y = net.activation("y", h);
  attentionBlock(net, CONFIG, { ...ATTENTION, heads, groups: null }, h, y);
  net.walkBack();
  const given = (x: JsonTensor) => swapped(x.data, x.shape);
  return {
    ...{ y: `${name} values`, shape: q.shape, dY: `${name} dvalues` },
    inputs: { [`${name}.to_q`]: given(q), [`${name}.to_k`]: given(k), [`${name}.to_v`]: given(v) },
    gradients: {
      dQ: [`${name} dq`, q.shape],
      dK: [`${name} dk`, k.shape],
      dV: [`${name} dv`, v.shape],
    },
  };
}

/** Between q, k and v and the values, and back. */
function isAttention({ operands }: PlannedLaunch): boolean {
  const { name } = ATTENTION;
  const inner = ["to_q", "to_k", "to_v"].map((part) => `${name}.${part}`)
    .concat(
      ["attention", "d attention", "values", "dvalues", "dq", "dk", "dv"].map((part) =>
        `${name} ${part}`
      ),
    );
  return operands.every(({ tensor }) => inner.includes(tensor.label));
}

const LAYERS: Readonly<Record<string, (net: Network, request: LayerRequest) => Placed>> = {
  conv2d: (net, request) => convolution(net, request, { kernel: 3, ...request }),
  downsample: (net, request) =>
    convolution(net, request, { kernel: 3, stride: 2, padding: request.padding }),
  upsample: (net, request) =>
    request.weight
      ? convolution(net, request, { ...SAME_3X3, upsampled: true })
      : plainUpsample(net, request),
  groupNorm,
  linear: linearLayer,
  silu: siluLayer,
  attention,
};

/** One layer alone; of attention, what lies between the projections. */
function layerOp(gpu: Gpu, algorithm: ConvAlgorithm): CandidateOp {
  const keys = SIZES.flatMap((C) =>
    SIZES.flatMap((O) =>
      SIZES.flatMap((H) => SIZES.map((W) => convKey({ kernel: 3, stride: 1, C, O, H, W })))
    )
  );
  const convolutions = Object.fromEntries(keys.map((key) => [key, algorithm]));
  const variants = { ...defaultVariants(gpu.adapterClass), convolutions };
  return async (asked) => {
    const request = asked as unknown as LayerRequest, { layer, gradient } = request;
    const net = new Network(CONFIG, Boolean(gradient), variants);
    const { y, shape, dY, inputs, gradients } = LAYERS[layer](net, request);
    const mixing = layer === "attention";
    const excerpt = new Excerpt(net.plan.finish(), mixing ? isAttention : () => true);
    const images = (data: Float32Array, of: Shape) =>
      mixing ? tensor(of, swapped(data, [of[0], of[1], of[3], of[2]])) : tensor(of, data);
    if (!gradient) {
      const [output] = await excerpt.run(gpu, inputs, [y]);
      return { y: images(output, shape) };
    }
    const dOutput = mixing ? swapped(gradient.data, shape) : floats(gradient);
    const wanted = Object.entries(gradients);
    const [output, ...found] = await excerpt.run(
      gpu,
      { ...inputs, [dY]: dOutput },
      [y, ...wanted.map(([, [label]]) => label)],
    );
    const grads = wanted.map(([name, [, of]], i) => {
      const own = found[i].subarray(0, sizeOf(of));
      return [
        name,
        name === "dWeight" ? fromDevice({ name: "weight", shape: of }, own) : images(own, of),
      ];
    });
    return { y: images(output, shape), grads: Object.fromEntries(grads) };
  };
}

interface EmbeddingRequest {
  readonly timesteps: number | readonly number[];
  readonly dim: number;
  readonly order: "sinCos" | "cosSin";
  readonly shift: number;
  readonly maxPeriod: number;
}

/** The embedding that is uploaded; it is made on the host. */
const timeEmbeddingOp: CandidateOp = (asked) => {
  const { timesteps, dim, order, shift, maxPeriod } = asked as unknown as EmbeddingRequest;
  if (maxPeriod !== 10000) throw new UnsupportedError("no largest period other than 10000");
  const config = unetConfig({
    ...CONFIG,
    ...{ blockOutChannels: [dim], flipSinToCos: order === "cosSin", freqShift: shift },
  });
  const times = [timesteps].flat();
  return { embedding: tensor([times.length, dim], timeRows(config, times)) };
};

/** `time_embedding` and `layer`, 3x3 convolutions that keep the extent by `algorithm`. */
export function layerOps(
  gpu: Gpu,
  algorithm: ConvAlgorithm,
): Readonly<Record<string, CandidateOp>> {
  return { time_embedding: timeEmbeddingOp, layer: layerOp(gpu, algorithm) };
}
