/**
 * The CIFAR-10 model of the DDPM paper, 35.7 million random weights, here and in diffusers: `deno run
 * --allow-read --allow-write --allow-run --allow-env --allow-sys tests/interop/check_full_size.ts PYTHON`, with
 * an environment that has torch and diffusers. Takes minutes and needs a WebGPU adapter; writes
 * bench/results/interop.md unless something differs.
 *
 * As in check_unets.ts, with a batch of times 1 and T − 1: diffusers in float64 is judged on both, and as
 * from_pretrained gives it, in float32, on the first. WebGPU is judged on both, under the same bound.
 *
 * @module
 */
import { provenance } from "../../bench/machine.ts";
import { ProgressLine, say } from "../../src/cli/terminal.ts";
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { DEFAULT_SAMPLING } from "../../src/convert/write_scheduler_config.ts";
import { writeAtomic } from "../../src/data/write_atomic.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import type { Checkpoint } from "../../src/spec/checkpoint.ts";
import { CIFAR10 } from "../../src/spec/unet_presets.ts";
import { type Parameters, unetParameterCount } from "../../src/spec/unet_parameters.ts";
import { type Gpu, requestGpu } from "../../src/webgpu/device.ts";
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";
import { normals } from "../support/layers.ts";
import { type InteropCase, liveParameters } from "./cases.ts";
import { type Answer, ask, DOUBLE, folderFaults, worstError } from "./diffusers_side.ts";
import { type ExpectedOutput, expectedOutput } from "./expected_output.ts";

const RESULTS = "bench/results/interop.md";
/** Runs from which σ is estimated: few, since one takes most of a minute. Elements have their mean square as a floor. */
const RUNS = 2;
/** Times of the batch, as networks get them. */
const TIMESTEPS = [1, 999];
const CLASSES = 10, LABELS = [3, 7];

/** How one model fared. */
interface Verdict {
  readonly title: string;
  readonly parameters: number;
  /** What is wrong, a sentence each; none if all is well. */
  readonly faults: readonly string[];
  /** The largest errors in units of their bounds. */
  readonly worst: { readonly double: number; readonly single: number; readonly webgpu: number };
}

/** A network, and the models that differ in their scheduler only. */
interface Network {
  readonly parameters: Parameters;
  readonly cases: readonly InteropCase[];
}

/** Weights are drawn once: without its table of classes, the one network is the other. */
function networks(): Network[] {
  const withClasses = { ...CIFAR10, numClassEmbeds: CLASSES };
  const conditional = liveParameters(withClasses, 1);
  const plain = new Map([...conditional].filter(([name]) => !name.startsWith("class_embedding")));
  const x = normals(4, 0, [TIMESTEPS.length, 3, 32, 32]);
  const model: Checkpoint = {
    unet: CIFAR10,
    schedule: { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 },
    step: 7,
    seed: 3,
    train: { lr: 2e-4, batch: 128 },
    ema: plain,
  };
  return [{
    parameters: plain,
    cases: [
      { title: "preset cifar10", checkpoint: model, options: {}, x },
      {
        title: "v-prediction, the cosine schedule, DDIM",
        checkpoint: { ...model, schedule: { kind: "cosine", T: 1000 }, prediction: "v" },
        options: { sampling: { ...DEFAULT_SAMPLING, sampler: "ddim" } },
        x,
      },
    ],
  }, {
    parameters: conditional,
    cases: [{
      title: `a table of ${CLASSES} classes`,
      checkpoint: { ...model, unet: withClasses, ema: conditional },
      options: {},
      x,
      labels: LABELS,
    }],
  }];
}

/** The output on the device. */
async function onWebGpu(gpu: Gpu, { checkpoint, x, labels }: InteropCase): Promise<Tensor> {
  const [batch, , height, width] = x.shape;
  const sizes = { batch, height, width };
  const model = await GpuUNet.create(gpu, checkpoint.unet, checkpoint.ema, sizes);
  try {
    return await model.predict(x, TIMESTEPS, labels);
  } finally {
    model.destroy();
  }
}

/** Both answers of diffusers to one model, and what is wrong with its folders. */
interface FromDiffusers {
  readonly single: Answer;
  readonly double: Answer;
  readonly faults: readonly string[];
}

async function askDiffusers(python: string, one: InteropCase): Promise<FromDiffusers> {
  const folder = await Deno.makeTempDir();
  try {
    const [written, saved] = [`${folder}/written`, `${folder}/saved`];
    await writeDiffusersFolder(written, one.checkpoint, one.options);
    const x = { ...one.x, data: [...one.x.data] };
    const request = { folder: written, x, labels: one.labels, timesteps: TIMESTEPS };
    const [single, double] = await ask(python, [
      { ...request, double: false, save: saved },
      { ...request, double: true },
    ]);
    for (const { error } of [single, double]) if (error !== undefined) throw new Error(error);
    const faults = await folderFaults(one, single, written, saved);
    const count = unetParameterCount(one.checkpoint.unet);
    if (single.parameters !== count) {
      faults.push(`diffusers counts ${single.parameters} parameters`);
    }
    return { single, double, faults };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function judged(
  { title, checkpoint }: InteropCase,
  { single, double, faults }: FromDiffusers,
  webgpu: Tensor,
  { exact: { data: exact }, sigma }: ExpectedOutput,
): Verdict {
  const sample = exact.length / TIMESTEPS.length;
  const { data } = single.output;
  const worst = {
    double: worstError(double.output.data, exact, sigma, DOUBLE),
    single: data.length !== exact.length ? Infinity : worstError(
      data.slice(0, sample),
      exact.subarray(0, sample),
      sigma.subarray(0, sample),
    ),
    webgpu: worstError([...webgpu.data], exact, sigma),
  };
  const off = Object.entries(worst).filter(([, ratio]) => !(ratio <= 1))
    .map(([where, ratio]) => `the output in ${where} is ${ratio} bounds off`);
  const parameters = unetParameterCount(checkpoint.unet);
  return { title, parameters, faults: [...faults, ...off], worst };
}

async function resultsText(
  verdicts: readonly Verdict[],
  versions: string,
  { adapter }: Gpu,
): Promise<string> {
  const { cpu, cores, runtime, driver, commit } = await provenance();
  const by = [adapter, driver].filter((part) => part !== null).join(", ");
  const rows = verdicts.map(({ title, parameters, worst }) => {
    const errors = [worst.double, worst.single, worst.webgpu].map((ratio) => ratio.toPrecision(2));
    return `| ${
      [title, parameters.toLocaleString("en"), ...errors, "the same bytes"].join(" | ")
    } |`;
  });
  return `# \`deno task interop --full\`

${versions}; ${by}; ${cores} cores of ${cpu}, ${runtime}; commit ${commit}

The CIFAR-10 model with random weights, none of them 0 or 1, in a folder as \`convert\` writes it.
\`from_pretrained\` loads it as a \`UNet2DModel\` and as a \`DDPMPipeline\`, the second as a
\`DDIMPipeline\`: its network is the first's, and what is checked beyond that is its scheduler. Outputs
for ${TIMESTEPS.length} images, at times ${
    TIMESTEPS.join(" and ")
  }, are compared with the reference's, in double. Errors are the
largest of all values, in units of the bound λ·σ of float32 arithmetic ([webgpu_bounds.ts](../../tests/support/webgpu_bounds.ts));
in float64, of that bound times 2⁻²⁹. In float32, diffusers is judged on the first image: at time ${
    TIMESTEPS[1]
  }
its time embedding is further off than that. The last column is the checkpoint after \`convert\`,
\`save_pretrained\` and \`convert\` back.

| model | parameters | diffusers, float64 | diffusers, float32 | WebGPU | there and back |
| --- | ---: | ---: | ---: | ---: | --- |
${rows.join("\n")}
`;
}

async function main(python: string): Promise<number> {
  const gpu = await requestGpu();
  const variants = defaultVariants(gpu.adapterClass);
  const progress = new ProgressLine();
  progress.update("full size: drawing weights");
  const verdicts: Verdict[] = [];
  let versions = "";
  for (const { parameters, cases } of networks()) {
    const [{ title, checkpoint: { unet: config }, x, labels }] = cases;
    const answers: FromDiffusers[] = [];
    for (const one of cases) {
      progress.update(`full size, ${one.title}: diffusers`);
      answers.push(await askDiffusers(python, one));
      versions = answers[0].single.versions;
    }
    progress.update(`full size, ${title}: WebGPU`);
    const webgpu = await onWebGpu(gpu, cases[0]);
    const net = { config, parameters, x, timesteps: TIMESTEPS, options: { classLabels: labels } };
    const expected = expectedOutput(net, {
      runs: RUNS,
      variants,
      onRun: (run) =>
        progress.update(
          `full size, ${title}: the reference, ${
            run === 0 ? "exact" : `rounded ${run} of ${RUNS}`
          }`,
        ),
    });
    verdicts.push(...cases.map((one, i) => judged(one, answers[i], webgpu, expected)));
  }
  progress.finish();
  for (const { title, faults, worst } of verdicts) {
    const [double, single, webgpu] = [worst.double, worst.single, worst.webgpu]
      .map((ratio) => ratio.toFixed(3));
    say(
      faults.length > 0
        ? `DIFFERS: full size, ${title}: ${faults.join("; ")}`
        : `agrees: full size, ${title} (error ${double} of its bound in float64, ${single} in ` +
          `float32, ${webgpu} on WebGPU)`,
    );
  }
  if (verdicts.some(({ faults }) => faults.length > 0)) return 1;
  await writeAtomic(RESULTS, await resultsText(verdicts, versions, gpu));
  return 0;
}

if (import.meta.main) {
  if (Deno.build.os === "linux") Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  const [python = "python3"] = Deno.args;
  Deno.exit(await main(python));
}
