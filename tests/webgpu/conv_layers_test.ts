/**
 * The list of a network's convolutions against the network's own plan: a table that names every entry
 * of the list decides every convolution, and a plan of one convolution is that part of the whole.
 */
import { assertEquals } from "@std/assert";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { CIFAR10, MNIST_CLASSES } from "../../src/spec/unet_presets.ts";
import { convLayers, convPlan } from "../../src/webgpu/conv_layers.ts";
import type { Plan } from "../../src/webgpu/plan.ts";
import { trainingPlan, unetPlan } from "../../src/webgpu/unet_plan.ts";
import {
  convAlgorithm,
  convKey,
  defaultVariants,
  type Variants,
} from "../../src/webgpu/variants.ts";

const RESIDUAL = unetConfig({
  downBlockTypes: ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
  upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
  downsampleType: "resnet",
  blockOutChannels: [8, 12, 16],
  layersPerBlock: 2,
  normNumGroups: 4,
  attentionHeadDim: null,
  outChannels: 6,
});

/** Configs, with heights unlike their widths. */
const CONFIGS: readonly [config: UNetConfig, height: number, width: number][] = [
  [CIFAR10, 32, 40],
  [MNIST_CLASSES, 28, 32],
  [RESIDUAL, 8, 12],
];

const DEFAULT = defaultVariants("software");

/** A table in which every convolution of a network is a product of columns. */
function allColumns(config: UNetConfig, height: number, width: number): Variants {
  const entries = convLayers(config, height, width).map(({ layer }) =>
    [convKey(layer), "im2col"] as const
  );
  return { ...DEFAULT, convolutions: Object.fromEntries(entries) };
}

/** Sizes of every im2col launch, without where its image lies. */
function columnSizes({ launches }: Plan): number[][] {
  return launches.filter(({ kernel }) => kernel.startsWith("im2col"))
    .map(({ params, workgroups }) => [...params.slice(0, -2), ...workgroups]);
}

function winogradLaunches({ launches }: Plan): number {
  return launches.filter(({ kernel }) => kernel.startsWith("winograd")).length;
}

Deno.test("a table that names every convolution of a network decides each of them", () => {
  for (const [config, height, width] of CONFIGS) {
    const request = {
      config,
      batch: 2,
      height,
      width,
      variants: allColumns(config, height, width),
    };
    const forward = unetPlan(request).plan;
    assertEquals(columnSizes(forward).length, convLayers(config, height, width).length);
    assertEquals(winogradLaunches(forward), 0);
    assertEquals(winogradLaunches(trainingPlan(request).plan), 0);
  }
});

Deno.test("a table without one of a network's convolutions leaves that one to the rule", () => {
  for (const [config, height, width] of CONFIGS) {
    const { convolutions } = allColumns(config, height, width);
    for (const { layer } of convLayers(config, height, width)) {
      if (convAlgorithm(DEFAULT, layer) === "im2col") continue;
      const { [convKey(layer)]: _, ...others } = convolutions;
      const variants = { ...DEFAULT, convolutions: others };
      const { plan } = unetPlan({ config, batch: 1, height, width, variants });
      assertEquals(winogradLaunches(plan) > 0, true, convKey(layer));
    }
  }
});

Deno.test("the plan of one convolution has the sizes that it has in its network", () => {
  for (const [config, height, width] of CONFIGS) {
    const variants = allColumns(config, height, width);
    const whole = unetPlan({ config, batch: 3, height, width, variants }).plan;
    const parts = convLayers(config, height, width).flatMap((conv) =>
      columnSizes(convPlan({ config, conv, batch: 3, training: false, variants }).plan)
    );
    assertEquals(parts, columnSizes(whole));
  }
});

Deno.test("the training plan of one convolution has the launches of its gradients", () => {
  for (const [config, height, width] of CONFIGS) {
    for (const conv of convLayers(config, height, width)) {
      const request = { config, conv, batch: 1, variants: DEFAULT };
      const { plan, gradients } = convPlan({ ...request, training: true });
      const written = plan.launches.flatMap(({ operands }) =>
        operands.filter(({ access }) => access !== "read").map(({ tensor }) => tensor.label)
      );
      for (const label of [`d ${conv.name}.weight`, `d ${conv.name}.bias`, "dX"]) {
        assertEquals(written.includes(label), true, `${conv.name} writes ${label}`);
      }
      const read = plan.launches.flatMap(({ operands }) => operands.map(({ tensor }) => tensor));
      assertEquals(gradients !== null && read.includes(gradients.dY.view.tensor), true);
    }
  }
});
