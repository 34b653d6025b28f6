/**
 * Drawn U-Nets of two levels, small enough to be differentiated by differences, that between them use
 * every value of every config field.
 *
 * @module
 */
import fc from "fast-check";
import type { Tensor } from "../../src/math/tensor.ts";
import type { UNetOptions } from "../../src/reference/unet.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import { timeEmbeddingSize } from "../../src/spec/unet_modules.ts";
import { inDouble } from "./doubles.ts";
import { normals, seeds } from "./layers.ts";

/** A network with everything that it is run on. */
export interface SmallUnet {
  readonly seed: number;
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly x: Tensor;
  readonly timesteps: readonly number[];
  readonly options: UNetOptions;
}

type Conditioning = "none" | "table" | "timestep" | "identity";

const configs = fc.record({
  flipSinToCos: fc.boolean(),
  freqShift: fc.constantFrom(0, 1),
  centerInputSample: fc.boolean(),
  downBlockTypes: fc.constantFrom(
    ["DownBlock2D", "AttnDownBlock2D"] as const,
    ["AttnDownBlock2D", "DownBlock2D"] as const,
    ["ResnetDownsampleBlock2D", "DownBlock2D"] as const,
  ),
  upBlockTypes: fc.constantFrom(
    ["UpBlock2D", "AttnUpBlock2D"] as const,
    ["AttnUpBlock2D", "UpBlock2D"] as const,
    ["ResnetUpsampleBlock2D", "UpBlock2D"] as const,
  ),
  downsampleType: fc.constantFrom("conv" as const, "resnet" as const),
  upsampleType: fc.constantFrom("conv" as const, "resnet" as const),
  downsamplePadding: fc.constantFrom(0 as const, 1 as const),
  midBlockScaleFactor: fc.constantFrom(1, 1.5),
  dropout: fc.constantFrom(0, 0.3),
  attentionHeadDim: fc.constantFrom(null, 2),
  attnNormNumGroups: fc.constantFrom(null, 1),
  resnetTimeScaleShift: fc.constantFrom("default" as const, "scale_shift" as const),
  addAttention: fc.boolean(),
});

/** Two samples of 4×4 through channels 4 and 6 in 2 groups; ε is large, so that loss stays smooth. */
export const smallUnets: fc.Arbitrary<SmallUnet> = fc.record({
  seed: seeds,
  fields: configs,
  conditioning: fc.constantFrom<Conditioning>("none", "table", "timestep", "identity"),
  size: fc.constantFrom([4, 4], [2, 4]),
}).map(({ seed, fields, conditioning, size }) => {
  const config = unetConfig({
    ...fields,
    inChannels: 2,
    outChannels: 3,
    blockOutChannels: [4, 6],
    layersPerBlock: 1,
    normNumGroups: 2,
    normEps: 0.1,
    numClassEmbeds: conditioning === "table" ? 3 : null,
    classEmbedType: conditioning === "timestep" || conditioning === "identity"
      ? conditioning
      : null,
  });
  const labels = conditioning === "none"
    ? {}
    : conditioning === "identity"
    ? { classLabels: normals(seed, 500, [2, timeEmbeddingSize(config)]) }
    : { classLabels: [2, 0] };
  const dropout = config.dropout > 0 ? { dropout: { seed, items: [7, 70] } } : {};
  return {
    seed,
    config,
    parameters: randomParameters(config, seed),
    x: normals(seed, 501, [2, 2, ...size]),
    timesteps: [3, 650.5],
    options: { ...labels, ...dropout },
  };
});

/** Parameters none of which is zero or one: weights of variance 1/fanIn, biases and norms around their start. */
function randomParameters(config: UNetConfig, seed: number): Parameters {
  return new Map(
    unetParameters(config).map(({ name, shape, initialiser }, number) => {
      const noise = normals(seed, number, shape);
      const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
      const scale = shape.length > 1 ? fanIn ** -0.5 : 0.2;
      const start = initialiser === "ones" ? 1 : 0;
      return [name, { shape, data: noise.data.map((z) => start + scale * z) }];
    }),
  );
}

/** The same network with everything in double. */
export function widenedUnet(net: SmallUnet): SmallUnet {
  const { options } = net;
  const labels = options.classLabels;
  return {
    ...net,
    parameters: new Map([...net.parameters].map(([name, p]) => [name, inDouble(p)])),
    x: inDouble(net.x),
    options: labels !== undefined && "shape" in labels
      ? { ...options, classLabels: inDouble(labels) }
      : options,
  };
}
