/**
 * Whole networks on the device against the reference in double: output, loss, the input's gradient and
 * every parameter's by name, within λ·σ of runs with random roundings (`webgpu_bounds.ts`).
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { Tensor } from "../../src/math/tensor.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { FeatureError } from "../../src/webgpu/errors.ts";
import { type ConvAlgorithm, defaultVariants, type Variants } from "../../src/webgpu/variants.ts";
import { Bound } from "../support/bound.ts";
import { GOLDEN_UNETS, type GoldenUnet, knownEntries } from "../support/golden_unets.ts";
import { print } from "../support/print.ts";
import { forAllAsync } from "../support/property.ts";
import { LAMBDA } from "../support/rounding_study.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import { smallUnets } from "../support/small_unets.ts";
import { normals } from "../support/layers.ts";
import {
  checkResults,
  exactResults,
  excess,
  expectedResults,
  FORMULA,
  kindOf,
  type NetworkCase,
  roundedResults,
} from "../support/webgpu_bounds.ts";
import { gpuTest } from "./gpu_test.ts";
import { testGpu } from "./run_launch.ts";
import { DDPM_LIKE, devicePrediction, deviceResults, NETWORKS } from "./networks.ts";

/** The largest figure of a report, for people. */
function worstOf(report: ReadonlyMap<string, number>): string {
  const [name, ratio] = [...report].reduce((a, b) => b[1] > a[1] ? b : a);
  return `worst error ${ratio.toFixed(3)} of its bound, in ${name}`;
}

/** Without dropout: a case as it is predicted from. */
function withoutDropout(net: NetworkCase): NetworkCase {
  return { ...net, options: { classLabels: net.options?.classLabels } };
}

Deno.test("the simulation of device arithmetic without roundings is the reference", () => {
  for (const [title, net] of NETWORKS) {
    const exact = exactResults(net);
    for (const [name, { data }] of roundedResults(net, new RandomRounding(1, 0))) {
      const expected = (exact.get(name) as Tensor).data;
      // Both in double, and as far apart as two orders of summation are.
      const scale = Math.max(1e-3, ...expected.map(Math.abs));
      data.forEach((v, i) =>
        assertAlmostEquals(v, expected[i], 1e-13 * scale, `${title}, ${name}`)
      );
    }
  }
});

for (const [title, net] of NETWORKS) {
  gpuTest(`output, loss and every gradient of ${title}`, async () => {
    const expected = expectedResults(net);
    const found = await deviceResults(net);
    assertEquals([...found.keys()].sort(), [...expected.exact.keys()].sort());
    const bound = new Bound(FORMULA);
    checkResults(bound, found, expected);
    print(worstOf(excess(found, expected)));
    bound.settle(title);
  });

  gpuTest(`prediction of ${title}`, async () => {
    const expected = expectedResults(withoutDropout(net), { runs: 4 });
    const bound = new Bound(FORMULA);
    checkResults(bound, new Map([["output", await devicePrediction(net)]]), expected);
    bound.settle(title);
  });
}

gpuTest("output, loss and every gradient of drawn networks", async () => {
  const bound = new Bound(FORMULA);
  await forAllAsync(smallUnets, 6, async ({ seed, config, parameters, x, timesteps, options }) => {
    const target = normals(seed, 502, [x.shape[0], config.outChannels, ...x.shape.slice(2)]);
    const net = { config, parameters, x, timesteps, target, options };
    checkResults(bound, await deviceResults(net), expectedResults(net));
  });
  bound.settle("drawn networks");
});

/** A table that has `algorithm` for every convolution that it can compute. */
function everywhere(algorithm: ConvAlgorithm): Variants["convolutions"] {
  return new Proxy({}, {
    get: (_, key) => String(key).startsWith("conv3x3/1 ") ? algorithm : undefined,
  });
}

const SOFTWARE = defaultVariants("software");

const TABLES: Record<string, Variants> = {
  "F(4x4) everywhere": { ...SOFTWARE, convolutions: everywhere("winograd4") },
  "F(2x2) everywhere": { ...SOFTWARE, convolutions: everywhere("winograd2") },
  "columns everywhere": { ...SOFTWARE, convolutions: everywhere("im2col") },
  "naive kernels": { gemm: { kind: "naive" }, other: "naive", convolutions: {} },
  "a discrete adapter's kernels": defaultVariants("discrete"),
};

for (const [table, variants] of Object.entries(TABLES)) {
  gpuTest(`output, loss and every gradient with ${table}`, async () => {
    const net = NETWORKS.get(DDPM_LIKE) as NetworkCase;
    const expected = expectedResults(net, { variants });
    const bound = new Bound(FORMULA);
    checkResults(bound, await deviceResults(net, variants), expected);
    checkResults(
      bound,
      new Map([["output", await devicePrediction(net, net, variants)]]),
      expected,
    );
    bound.settle(table);
  });
}

gpuTest("prediction with weights in float16 where the adapter has it", async () => {
  const { device } = await testGpu();
  const net = NETWORKS.get(DDPM_LIKE) as NetworkCase;
  const variants: Variants = { ...SOFTWARE, weights: "f16" };
  const predict = () => devicePrediction(net, net, variants);
  if (!device.features.has("shader-f16")) {
    await assertRejects(predict, FeatureError);
    return;
  }
  // The simulation has them in float16 in training as well, but only the output is compared.
  const expected = expectedResults(net, { variants });
  const found = new Map([["output", await predict()]]);
  const bound = new Bound(FORMULA);
  checkResults(bound, found, expected);
  bound.settle("float16");
  // Float16 it is: in float32 the bound is a thousand times closer.
  assert((excess(found, expectedResults(net)).get("output") as number) > 10);
});

/** Exchanges the axes of a square matrix, or of every kernel. */
function transposedWeight({ shape, data }: Tensor): Tensor {
  const size = shape[shape.length - 1];
  const at = (i: number): number => {
    const square = i - i % size ** 2, [a, b] = [Math.floor(i / size) % size, i % size];
    return square + b * size + a;
  };
  return { shape, data: data.map((_, i) => data[at(i)]) };
}

/** A mistake in how a network is read. */
interface Mistake {
  readonly config?: Partial<UNetConfig>;
  readonly parameter?: readonly [name: string, change: (value: Tensor) => Tensor];
}

const MISTAKES: Record<string, Mistake> = {
  "downsampling padded on all sides": { config: { downsamplePadding: 1 } },
  "ε of 1e−5 in the norms": { config: { normEps: 1e-5 } },
  "cosines before sines": { config: { flipSinToCos: false } },
  "frequencies over half − 1": { config: { freqShift: 1 } },
  "two heads": { config: { attentionHeadDim: 8 } },
  "an input that is not centred": { config: { centerInputSample: true } },
  "a missing bias": {
    parameter: ["mid_block.resnets.1.conv2.bias", (b) => ({ ...b, data: b.data.map(() => 0) })],
  },
  "a transposed projection": {
    parameter: ["mid_block.attentions.0.to_v.weight", transposedWeight],
  },
  "kernels with their axes exchanged": {
    parameter: ["up_blocks.0.resnets.0.conv1.weight", transposedWeight],
  },
  "the skip before what it is appended to": {
    parameter: [
      "up_blocks.0.resnets.0.norm1.weight",
      // The channels of h and of its skip are as many.
      ({ shape, data }) => {
        const half = data.length / 2;
        return { shape, data: data.map((_, i) => data[(i + half) % data.length]) };
      },
    ],
  },
};

/** With a first convolution so small that ε counts in the norm after it. */
function faint(net: NetworkCase): NetworkCase {
  const parameters = new Map(net.parameters);
  for (const name of ["conv_in.weight", "conv_in.bias"]) {
    const { shape, data } = parameters.get(name) as Tensor;
    parameters.set(name, { shape, data: data.map((w) => w / 32) });
  }
  return { ...net, parameters };
}

gpuTest("wrong conventions and weights are far outside of the bound", async () => {
  const net = faint(NETWORKS.get(DDPM_LIKE) as NetworkCase);
  const expected = expectedResults(net);
  const far: string[] = [];
  for (const [mistake, { config, parameter }] of Object.entries(MISTAKES)) {
    const parameters = new Map(net.parameters);
    if (parameter !== undefined) {
      const [name, change] = parameter;
      parameters.set(name, change(parameters.get(name) as Tensor));
    }
    const wrong = { config: { ...net.config, ...config }, parameters: parameters as Parameters };
    const output = await devicePrediction(net, wrong);
    const ratio = excess(new Map([["output", output]]), expected).get("output") as number;
    far.push(`${mistake} ${ratio.toPrecision(2)}`);
    assert(ratio > 10, `${mistake}: only ${ratio} of the bound`);
  }
  print(`errors in units of the bound: ${far.join("; ")}`);
});

for (const [title, read] of GOLDEN_UNETS) {
  gpuTest(`golden output and gradients of ${title}`, async () => {
    const golden: GoldenUnet = read();
    const expected = expectedResults(golden, { runs: 2 });
    const found = await deviceResults(golden);
    const bound = new Bound(`${FORMULA} + half a digit of the golden file`);
    const loss = found.get("loss") as Tensor;
    bound.check(loss.data[0], golden.loss, LAMBDA * expected.spread.get("loss")![0], "output");
    for (const [name, entries] of knownEntries(golden)) {
      const sigma = expected.spread.get(name) as Float64Array;
      const { data } = found.get(name) as Tensor;
      for (const { index, value, given } of entries) {
        const allowed = given + LAMBDA * sigma[index];
        bound.check(data[index], value, allowed, kindOf(name), `${name}[${index}]`);
      }
    }
    print(worstOf(excess(found, expected)));
    bound.settle(title);
  });
}
