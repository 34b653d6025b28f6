/**
 * The U-Net as launches of a plan: the modules of `src/spec` walked once, with every concatenation
 * written where it is read.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import {
  type ResampleModule,
  type ResnetModule,
  timeEmbeddingSize,
  type UNetModule,
  unetModules,
} from "../spec/unet_modules.ts";
import { attentionBlock, conv1x1, conv1x1Backward, unscaled } from "./attention.ts";
import { conv, convBackward, type ConvShape, SAME_3X3 } from "./conv.ts";
import { dropout } from "./kernels/dropout.ts";
import { add, centered, scale } from "./kernels/elementwise.ts";
import { embedding, embeddingBackward } from "./kernels/embedding.ts";
import { sumPositions } from "./kernels/reduce.ts";
import {
  averagePool,
  averagePoolBackward,
  upsample,
  upsampleBackward,
} from "./kernels/resample.ts";
import {
  addGradient,
  linear,
  norm,
  normBackward,
  type NormSpec,
  normStats,
  siluVectors,
} from "./layers.ts";
import {
  type Activation,
  channelRange,
  type ImageShape,
  type Network,
  positions,
} from "./network.ts";
import type { PlanTensor } from "./plan.ts";

/** What the host gives a U-Net's plan before a step. */
export interface UNetInputs {
  /** `[N, inChannels, H, W]` */
  readonly x: Activation;
  /** Sinusoidal embeddings of the times, `[N, C]`. */
  readonly times: Activation;
  /** u32 `[N]`, sinusoidal embeddings `[N, C]` or vectors `[N, E]` of the classes; null without classes. */
  readonly classes: Activation | null;
  /** Per residual block what `dropoutKeys` returns; null without dropout. */
  readonly dropoutKeys: readonly PlanTensor[] | null;
}

/** Where a module's output goes: into a concatenation, or anywhere. */
interface Placement {
  readonly concatenation: number;
  readonly part: "h" | "skip";
}

/** The concatenations of a U-Net: producer k is module k, −1 is conv_in. */
function placements(modules: readonly UNetModule[]): Map<number, Placement> {
  const placed = new Map<number, Placement>();
  const skips = [-1];
  modules.forEach((module, k) => {
    if (module.takesSkip) {
      placed.set(k - 1, { concatenation: k, part: "h" });
      placed.set(skips.pop() as number, { concatenation: k, part: "skip" });
    }
    if (module.leavesSkip) skips.push(k);
  });
  return placed;
}

/** Writes the U-Net into the plan; the result goes to `output`. Its backward passes are noted. */
export class UNetNetwork {
  readonly #net: Network;
  readonly #config: UNetConfig;
  readonly #inputs: UNetInputs;
  readonly #modules: readonly UNetModule[];
  readonly #placements: Map<number, Placement>;
  readonly #concatenations = new Map<number, Activation>();
  readonly #inputGradient: boolean;
  #dropouts = 0;

  /** `inputGradient`: whether the backward pass goes down to x. */
  constructor(net: Network, config: UNetConfig, inputs: UNetInputs, inputGradient = false) {
    this.#inputGradient = inputGradient;
    this.#net = net;
    this.#config = config;
    this.#inputs = inputs;
    this.#modules = unetModules(config);
    this.#placements = placements(this.#modules);
  }

  /** Emits the forward launches. `output` is `[N, outChannels, H, W]`. */
  forward(output: Activation): void {
    const net = this.#net, config = this.#config;
    const { x } = this.#inputs;
    const e = net.inLayer("time_embedding", () => siluVectors(net, this.#embedded()));
    const inShape = { ...x, C: config.blockOutChannels[0] };
    let h = net.inLayer("conv_in", () => {
      const y = this.#place(-1, "conv_in", inShape);
      this.#convIn(y);
      return y;
    });
    const skips = [h];
    this.#modules.forEach((module, k) => {
      if (module.takesSkip) h = this.#concatenated(k, h, skips.pop() as Activation);
      const y = this.#place(k, module.name, outputShape(module, h));
      net.inLayer(module.name, () => this.#module(module, h, y, e));
      if (module.leavesSkip) skips.push(y);
      h = y;
    });
    net.inLayer("conv_out", () => this.#convOut(h, output));
  }

  #module(module: UNetModule, h: Activation, y: Activation, e: Activation): void {
    switch (module.kind) {
      case "resnet":
        return this.#resnet(module, h, y, e);
      case "attention":
        return attentionBlock(this.#net, this.#config, module, h, y);
      default:
        return this.#resample(module, h, y);
    }
  }

  /** A module's output, in its concatenation if it has one. */
  #place(producer: number, label: string, shape: ImageShape): Activation {
    const placement = this.#placements.get(producer);
    if (placement === undefined) return this.#net.activation(label, shape);
    const { concatenation, part } = placement;
    const consumer = this.#modules[concatenation] as ResnetModule;
    let whole = this.#concatenations.get(concatenation);
    if (whole === undefined) {
      whole = this.#net.activation(`${consumer.name} input`, { ...shape, C: consumer.inChannels });
      this.#concatenations.set(concatenation, whole);
    }
    return channelRange(whole, part === "h" ? 0 : consumer.inChannels - shape.C, shape.C);
  }

  #concatenated(consumer: number, h: Activation, skip: Activation): Activation {
    const whole = this.#concatenations.get(consumer);
    if (whole === undefined || whole.C !== h.C + skip.C) {
      throw new RangeError(`Expected ${h.C} + ${skip.C} channels of module ${consumer}`);
    }
    return whole;
  }

  /** The embedding of the times plus that of the classes: `[N, E]`. */
  #embedded(): Activation {
    const net = this.#net, config = this.#config;
    const { times, classes } = this.#inputs;
    const E = timeEmbeddingSize(config);
    const embed = (name: string, x: Activation): Activation =>
      linear(net, `${name}.linear_2`, siluVectors(net, linear(net, `${name}.linear_1`, x, E)), E);
    const time = embed("time_embedding", times);
    if (classes === null) return time;
    const ofClass = config.classEmbedType === "timestep"
      ? embed("class_embedding", classes)
      : config.classEmbedType === "identity"
      ? classes
      : this.#classRows(classes, E);
    const sizes = { N: time.N, D: E };
    const sum = net.activation("embedding", time);
    net.add(
      add(net.variants.other, sizes, { a: time.view, b: ofClass.view, y: sum.view }),
    );
    net.onBackward(() => {
      const g = { ...sum, view: net.gradientOf(sum) };
      addGradient(net, time, g);
      if (config.classEmbedType !== "identity") addGradient(net, ofClass, g);
    });
    return sum;
  }

  #classRows(labels: Activation, E: number): Activation {
    const net = this.#net;
    const { N } = labels;
    const name = "class_embedding.weight";
    const y = net.activation("class_embedding", { N, C: E, H: 1, W: 1 });
    const tensors = { table: net.parameter(name), labels: labels.view.tensor, y: y.view };
    net.add(embedding({ N, E }, tensors));
    net.onBackward(() => {
      const rows = this.#config.numClassEmbeds as number;
      const dTable = net.gradient(name);
      const gradients = { dY: net.gradientOf(y), labels: labels.view.tensor, dTable };
      net.add(embeddingBackward({ N, E }, rows, gradients, net.accumulateParameters));
    });
    return y;
  }

  #convIn(y: Activation): void {
    const net = this.#net;
    const { x } = this.#inputs;
    let input = x;
    if (this.#config.centerInputSample) {
      input = net.activation("centered", x);
      const sizes = { N: x.N, D: x.C * positions(x) };
      net.add(centered(net.variants.other, sizes, { x: x.view, y: input.view }));
    }
    conv(net, "conv_in", input, y, SAME_3X3);
    net.onBackward(() => {
      const dX = this.#inputGradient ? net.slot(input) : null;
      convBackward(net, "conv_in", input, gradient(net, y), SAME_3X3, dX);
      if (input === x || dX === null) return;
      const sizes = { N: x.N, D: x.C * positions(x) };
      const tensors = { x: dX.view, y: net.slot(x).view };
      net.add(scale(net.variants.other, sizes, tensors, 2));
    });
  }

  #convOut(h: Activation, output: Activation): void {
    const net = this.#net;
    const spec = this.#norm("conv_norm_out", null);
    const stats = normStats(net, h, spec);
    const normed = (): Activation => this.#normed(spec, h, stats);
    conv(net, "conv_out", normed(), output, SAME_3X3);
    net.onBackward(() => {
      const n = normed();
      const dN = net.activation("d conv_norm_out", h);
      const whole = { view: dN.view, accumulate: false };
      convBackward(net, "conv_out", n, gradient(net, output), SAME_3X3, whole);
      normBackward(net, spec, h, dN.view, stats, net.slot(h));
    });
  }

  #norm(name: string, scaleShift: Activation | null): NormSpec {
    const { normNumGroups: groups, normEps: eps } = this.#config;
    return { name, groups, eps, silu: true, scaleShift };
  }

  #normed(spec: NormSpec, x: Activation, stats: PlanTensor): Activation {
    const y = this.#net.activation(`${spec.name} output`, x);
    norm(this.#net, spec, x, y, stats);
    return y;
  }

  /**
   * y = (shortcut(resample(h)) + conv2(dropout(silu(norm2(conv1(resample(silu(norm1(h)))) + time)))))/scale.
   * What is cheap to compute again, norms and dropout, is; what the convolutions gave is kept.
   */
  #resnet(module: ResnetModule, h: Activation, y: Activation, e: Activation): void {
    const net = this.#net, config = this.#config;
    const { name, inChannels, outChannels: O, outputScale } = module;
    const scaleShift = config.resnetTimeScaleShift === "scale_shift";
    const time = linear(net, `${name}.time_emb_proj`, e, scaleShift ? 2 * O : O);
    const norm1 = this.#norm(`${name}.norm1`, null);
    const norm2 = this.#norm(`${name}.norm2`, scaleShift ? time : null);
    const stats1 = normStats(net, h, norm1);
    const input1 = (): Activation =>
      this.#resampled(module, this.#normed(norm1, h, stats1), `${name} resampled`);
    const block = this.#dropouts++;

    const h1 = net.activation(`${name}.conv1`, { ...y, C: O });
    conv(net, `${name}.conv1`, input1(), h1, SAME_3X3, scaleShift ? {} : { perSample: time });
    const stats2 = normStats(net, h1, norm2);
    const input2 = (): Activation => this.#dropped(this.#normed(norm2, h1, stats2), block);
    const projected = inChannels !== O;
    const straight = this.#resampled(module, h, `${name} shortcut resampled`);
    let shortcut = straight;
    if (projected) {
      shortcut = net.activation(`${name}.conv_shortcut`, y);
      conv1x1(net, `${name}.conv_shortcut`, straight, shortcut);
    }
    conv(net, `${name}.conv2`, input2(), y, SAME_3X3, { residual: shortcut, outputScale });

    net.onBackward(() => {
      const g = unscaled(net, y, outputScale);
      const fresh = (label: string, shape: ImageShape): Activation =>
        net.activation(`${name} ${label}`, shape);
      const into = (x: Activation) => ({ view: x.view, accumulate: false });
      const dInput2 = fresh("d conv2 input", h1);
      convBackward(net, `${name}.conv2`, input2(), g, SAME_3X3, into(dInput2));
      this.#undrop(dInput2, block);
      const dH1 = fresh("d conv1", h1);
      normBackward(net, norm2, h1, dInput2.view, stats2, into(dH1));
      if (!scaleShift) {
        const sizes = { N: h1.N, C: O, P: positions(h1) };
        const tensors = { x: dH1.view, y: net.slot(time).view };
        net.add(sumPositions(net.variants.other, sizes, tensors));
      }
      const small = { ...y, C: inChannels };
      const dInput1 = fresh("d conv1 input", small);
      convBackward(net, `${name}.conv1`, input1(), dH1, SAME_3X3, into(dInput1));
      let dStraight = g;
      if (projected) {
        dStraight = fresh("d shortcut", small);
        conv1x1Backward(net, `${name}.conv_shortcut`, straight, g, into(dStraight));
      }
      addGradient(net, h, this.#resampledBackward(module, dStraight, `${name} d shortcut`, h));
      const dNormed = this.#resampledBackward(module, dInput1, `${name} d norm1 output`, h);
      normBackward(net, norm1, h, dNormed.view, stats1, net.slot(h));
    });
  }

  #resampled({ resample }: ResnetModule, x: Activation, label: string): Activation {
    const net = this.#net;
    if (resample === "none") return x;
    const { N, C } = x;
    if (resample === "down") {
      const small = { N, C, H: x.H / 2, W: x.W / 2 };
      const y = net.activation(label, small);
      net.add(averagePool(net.variants.other, small, { small: y.view, large: x.view }));
      return y;
    }
    const y = net.activation(label, { N, C, H: 2 * x.H, W: 2 * x.W });
    net.add(upsample(net.variants.other, x, { small: x.view, large: y.view }));
    return y;
  }

  #resampledBackward(
    { resample }: ResnetModule,
    dY: Activation,
    label: string,
    shape: ImageShape,
  ): Activation {
    const net = this.#net;
    if (resample === "none") return dY;
    const dX = net.activation(label, { ...shape, C: dY.C });
    if (resample === "down") {
      const tensors = { small: dY.view, large: dX.view };
      net.add(averagePoolBackward(net.variants.other, dY, tensors));
    } else {
      net.add(upsampleBackward(net.variants.other, dX, { small: dX.view, large: dY.view }));
    }
    return dX;
  }

  #dropped(x: Activation, block: number): Activation {
    this.#undrop(x, block);
    return x;
  }

  /** Dropout in place: of a value, and of its gradient, it is the same map. */
  #undrop(x: Activation, block: number): void {
    const net = this.#net;
    const keys = this.#inputs.dropoutKeys?.[block];
    if (keys === undefined) return;
    const sizes = { N: x.N, D: x.C * positions(x) };
    const tensors = { x: x.view, y: x.view, keys, keysOffset: 0 };
    net.add(dropout(net.variants.other, sizes, tensors, this.#config.dropout));
  }

  #resample({ kind, name }: ResampleModule, h: Activation, y: Activation): void {
    const net = this.#net;
    if (kind === "downsample") {
      const shape: ConvShape = this.#config.downsamplePadding === 0
        ? { kernel: 3, stride: 2, padding: [0, 1, 0, 1] }
        : { kernel: 3, stride: 2, padding: [1, 1, 1, 1] };
      conv(net, `${name}.conv`, h, y, shape);
      net.onBackward(() => {
        convBackward(net, `${name}.conv`, h, gradient(net, y), shape, net.slot(h));
      });
      return;
    }
    const shape: ConvShape = { ...SAME_3X3, upsampled: true };
    conv(net, `${name}.conv`, h, y, shape);
    net.onBackward(() => {
      convBackward(net, `${name}.conv`, h, gradient(net, y), shape, net.slot(h));
    });
  }
}

/** The complete gradient of an activation, as an activation. */
function gradient(net: Network, y: Activation): Activation {
  return { ...y, view: net.gradientOf(y) };
}

/** Sizes of what a module makes of h. */
function outputShape(module: UNetModule, { N, C, H, W }: ImageShape): ImageShape {
  const half = { H: H / 2, W: W / 2 }, double = { H: 2 * H, W: 2 * W };
  switch (module.kind) {
    case "resnet": {
      const { resample, outChannels } = module;
      const extent = resample === "down" ? half : resample === "up" ? double : { H, W };
      return { N, C: outChannels, ...extent };
    }
    case "attention":
      return { N, C, H, W };
    case "downsample":
      return { N, C, ...half };
    case "upsample":
      return { N, C, ...double };
  }
}
