/** Networks: drawn, handed over in files, judged with their gradients, and their mistakes named. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Tensor } from "../../../src/math/tensor.ts";
import { U32 } from "../../../src/math/float32.ts";
import { randomBits } from "../../../src/math/philox.ts";
import { createOracle } from "../../../src/oracle/mod.ts";
import { networkRun, squaredError } from "../../../src/oracle/ops/unet.ts";
import { ScheduleCache } from "../../../src/oracle/schedule_cache.ts";
import { zerosLike } from "../../../src/reference/nn/zeros_like.ts";
import { type TapeStep, walkBack } from "../../../src/reference/tape.ts";
import { runUnet } from "../../../src/reference/unet.ts";
import { Layers } from "../../../src/reference/unet_layers.ts";
import {
  BrokenError,
  candidateOf,
  type CandidateOp,
  type Files,
  replay,
  UnsupportedError,
  verify,
} from "../../../src/oracle/verify/mod.ts";
import { tensorsOf } from "../../../src/oracle/verify/networks.ts";
import { encodeSafetensors } from "../../../src/spec/safetensors.ts";

type Json = Readonly<Record<string, unknown>>;

/** Files in memory, and the reference that reads and writes them. */
function setup() {
  const stored = new Map<string, Uint8Array>();
  const files: Files = {
    folder: "/nowhere",
    readFile: (path) => {
      const found = stored.get(path);
      if (found === undefined) throw new Error(`there is no ${path}`);
      return found;
    },
    writeFile: (path, content) => void stored.set(path, content),
  };
  const oracle = createOracle({ version: "0", ...files });
  const truth = (request: Json): Json => {
    const { ok, result, error } = JSON.parse(oracle.answer(JSON.stringify(request)));
    if (!ok) throw new Error(error.message);
    return result;
  };
  return { files, truth };
}

type Setup = ReturnType<typeof setup>;

/** The report on `unet` of a candidate that answers it so. */
async function reportOf(answer: (setup: Setup) => CandidateOp, seed = 1) {
  const made = setup(), candidate = candidateOf("mine", { unet: answer(made) });
  const { ops } = await verify(candidate, { ops: ["unet"], seed, runs: 1, files: made.files });
  return { report: ops[0], candidate, ...made };
}

/** Changes the tensors that were written to `out`. */
function rewritten(
  { files, truth }: Setup,
  change: (tensors: Map<string, Tensor>) => void,
): CandidateOp {
  return (request) => {
    const result = truth(request);
    if (typeof request.out !== "string") return result;
    const tensors = new Map(Object.entries(tensorsOf(files.readFile(request.out))));
    change(tensors);
    files.writeFile(request.out, encodeSafetensors(tensors));
    return result;
  };
}

function times(x: Tensor, factor: number): Tensor {
  return { shape: x.shape, data: x.data.map((v) => v * factor) };
}

/** The request with another value of a key of its config. */
function withConfig(request: Json, key: string, value: unknown): Json {
  return { ...request, config: { ...(request.config as Json), [key]: value } };
}

Deno.test("the reference conforms exactly, and every kind of network and option is drawn", async () => {
  const shown = new Set<string>();
  const { report } = await reportOf(({ truth }) => (request) => {
    for (const [key, value] of Object.entries(request.config as Json)) {
      shown.add(`${key} ${JSON.stringify(value)}`);
    }
    for (const key of ["classLabels", "target", "out"]) if (key in request) shown.add(key);
    return truth(request);
  });
  assertEquals([report.verdict, report.worst, report.notCovered], ["conforms", 0, []]);
  const expected = [
    ...["classLabels", "target", "out", "freq_shift 0", "freq_shift 1", "norm_eps 0.1"],
    ...["flip_sin_to_cos true", "flip_sin_to_cos false", "center_input_sample true"],
    ...["downsample_padding 0", "mid_block_scale_factor 1.5", "layers_per_block 2"],
    ...["norm_num_groups 3", "norm_num_groups 5", "add_attention true", "num_class_embeds 3"],
    ...['class_embed_type "timestep"', 'class_embed_type "identity"', 'downsample_type "resnet"'],
    'resnet_time_scale_shift "scale_shift"',
  ];
  assertEquals(expected.filter((option) => !shown.has(option)), []);
});

Deno.test("a mistake in reading a config is found, shrunk, named, and replays without its files", async () => {
  const faulty = ({ truth }: Setup): CandidateOp => (request) =>
    truth(withConfig(request, "freq_shift", 0));
  const { report, candidate, files } = await reportOf(faulty);
  const { failure } = report;
  assert(failure);
  assertEquals([report.verdict, failure.cause], ["deviates", "freq_shift is taken for 0"]);
  const { config, x, weights } = failure.request as {
    config: Json;
    x: { data: unknown[] };
    weights: string;
  };
  assertEquals([config.freq_shift, config.block_out_channels, weights], [
    1,
    [4],
    "network-0.safetensors",
  ]);
  assert(x.data.length <= 4);
  const request = { ...failure.request, op: "unet" };
  const again = await replay(candidate, request, "f32", { ...files, folder: "/elsewhere" });
  assertEquals(again.verdict, "deviates");
  const made = setup();
  const right = candidateOf("right", { unet: made.truth });
  assertEquals((await replay(right, request, "f32", made.files)).verdict, "conforms");
});

Deno.test("an output that is off by half a percent of its size deviates", async () => {
  const { report } = await reportOf(({ truth }) => (request) => {
    const result = truth(request) as { output: { data: number[] } };
    const { data } = result.output;
    const size = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / data.length);
    return { ...result, output: { ...result.output, data: data.map((v) => v + 0.005 * size) } };
  });
  assertEquals(report.verdict, "deviates");
});

/** A small network with attention, whose gradients are asked for. */
const GRADIENTS = {
  op: "unet",
  config: {
    in_channels: 1,
    out_channels: 1,
    block_out_channels: [4],
    down_block_types: ["DownBlock2D"],
    up_block_types: ["UpBlock2D"],
    layers_per_block: 1,
    norm_num_groups: 2,
    attention_head_dim: 2,
  },
  weights: "network-5.safetensors",
  x: { shape: [1, 1, 2, 2], data: [1, -0.5, 0.25, 2] },
  timesteps: 7,
  target: { shape: [1, 1, 2, 2], data: [0, 1, -1, 0.5] },
  out: "gradients.safetensors",
};

/** The report on that network of a candidate whose file of gradients is changed. */
function gradientsReport(change: (tensors: Map<string, Tensor>) => void) {
  const made = setup(), candidate = candidateOf("mine", { unet: rewritten(made, change) });
  return replay(candidate, GRADIENTS, "f32", made.files);
}

Deno.test("a wrong gradient is found, and a known mistake in gradients is named", async () => {
  assertEquals((await gradientsReport(() => {})).verdict, "conforms");
  const one = await gradientsReport((tensors) => {
    const name = "grad.mid_block.attentions.0.to_q.weight";
    tensors.set(name, times(tensors.get(name) as Tensor, 1.05));
  });
  assertEquals(one.failure?.field, "out.grad.mid_block.attentions.0.to_q.weight");
  const all = await gradientsReport((tensors) => {
    for (const [name, x] of tensors) {
      if (name.startsWith("grad.")) tensors.set(name, times(x, 0.5));
    }
  });
  assertEquals(all.failure?.cause, "the factor 2 of the gradients is missing");
});

Deno.test("a file that is not written, or lacks a gradient, breaks; another shape deviates", async () => {
  const made = setup(), right = candidateOf("right", { unet: made.truth });
  // What another answer has left in the file does not count.
  assertEquals((await replay(right, GRADIENTS, "f32", made.files)).verdict, "conforms");
  const silent = candidateOf("mine", { unet: ({ out: _, ...request }) => made.truth(request) });
  await assertRejects(
    () => replay(silent, GRADIENTS, "f32", made.files),
    BrokenError,
    "Expected tensors in the file out",
  );
  await assertRejects(
    () => gradientsReport((tensors) => void tensors.delete("grad.x")),
    BrokenError,
    "grad.x",
  );
  const flat = await gradientsReport((tensors) => {
    const x = tensors.get("grad.x") as Tensor;
    tensors.set("grad.x", { ...x, shape: [x.data.length] });
  });
  assertEquals([flat.verdict, flat.failure?.form?.field], ["deviates", "out.grad.x"]);
});

/** Layers every value of which is off by four roundings, up or down. */
class Careless extends Layers {
  #calls = 0;
  readonly round = (y: Tensor): Tensor => {
    const words = randomBits(9, this.#calls++, 0, y.data.length);
    return { ...y, data: y.data.map((v, i) => v * (1 + (words[i] & 1 ? 4 : -4) * U32)) };
  };

  protected override stored(y: Tensor): Tensor {
    return this.round(y);
  }
}

/** What a network of such layers gives, its gradients in the file. */
function careless({ files }: Setup): CandidateOp {
  return (request) => {
    const context = { host: { version: "0", ...files }, schedules: new ScheduleCache() };
    const run = networkRun({ path: "", values: request, context });
    const { config, parameters, x, timesteps, options, target } = run, steps: TapeStep[] = [];
    const layers = new Careless(parameters, steps);
    const output = runUnet(layers, config, x, timesteps, options);
    const written = (t: Tensor) => ({ shape: t.shape, data: Array.from(t.data) });
    if (target === null) return { output: written(output) };
    const { loss, dOutput } = squaredError(output, target);
    const back = walkBack(steps, dOutput, layers.round);
    const gradients = [...parameters].map(([name, p]): [string, Tensor] => [
      `grad.${name}`,
      back.parameters.get(name) ?? zerosLike(p),
    ]);
    const dX = back.inputs.get(x) as Tensor;
    const all = new Map([["output", output], ["grad.x", dX], ...gradients]);
    if (run.out !== null) files.writeFile(run.out, encodeSafetensors(all));
    return { output: written(output), loss };
  };
}

Deno.test("a network that rounds every value carelessly conforms, and uses some of its bounds", async () => {
  const { report } = await reportOf(careless);
  assertEquals(report.verdict, "conforms", JSON.stringify(report.failure));
  // Layers are bound by their worst case and not by what is likely, so no more is used.
  assert(report.worst > 0.002, `${report.worst}`);
});

Deno.test("networks that a candidate lacks are not covered, and given up after a few", async () => {
  let asked = 0;
  const { report } = await reportOf(() => () => {
    asked++;
    throw new UnsupportedError("no networks");
  });
  assertEquals(report.verdict, "not covered");
  assert(asked <= 100, `${asked} were asked`);
  const made = setup();
  const { ops } = await verify(candidateOf("mine", { unet: made.truth }), { ops: ["unet"] });
  assertEquals(ops[0].notCovered, ["there is no folder for its weights"]);
});
