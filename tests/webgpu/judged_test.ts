/**
 * The device judged like any implementation: by `verify` of `./oracle`, under the bounds that it derives
 * for float32 without knowing a kernel.
 *
 * Left out is what `./webgpu` leaves to its caller or does not have. Made on the host, from tables of the
 * reference: `schedule`, `timesteps`, `q_step`, `q_sample` (training is given x_t), `loss_weight`,
 * `random_bits`, `normal`. Only as a part of a step, whose moments are never stored: `q_mean_variance`,
 * `q_posterior`, `p_mean_variance`, `convert`. Not there: `ddim_encode_step`, `dpm_solver_step`,
 * `normal_kl`, `decoder_nll`, `vlb_term`, `prior_kl`. Convolutions by F(4x4), whose tiles mix more pixels
 * than the bounds of `layer` count, are held to bounds of their own in `winograd_test.ts`.
 */
import { assertEquals } from "@std/assert";
import {
  candidateOf,
  type CandidateOp,
  failureText,
  tableOf,
  UnsupportedError,
  verify,
} from "../../src/oracle/verify/mod.ts";
import type { Gpu } from "../../src/webgpu/mod.ts";
import { gpuTest } from "./gpu_test.ts";
import { layerOps } from "./judged_layers.ts";
import { filesInMemory, networkOps } from "./judged_network.ts";
import { stepOps } from "./judged_steps.ts";
import { trainingOps } from "./judged_training.ts";
import { rememberingGpu } from "./remembering_gpu.ts";

/** Requests per operation: with many options, five of each. */
const RUNS = 20;

const FILES = filesInMemory();

const LACKING_LAYERS = [
  "no largest period other than 10000",
  "no convolution that is not square",
  "no 1x1 convolution at stride 2",
  "no scale of attention other than 1/√D",
];

/** The operations with the options that the device lacks. */
const GROUPS: readonly [
  title: string,
  opsOf: (gpu: Gpu) => Readonly<Record<string, CandidateOp>>,
  lacking: readonly string[],
][] = [
  ["steps of a sampler", stepOps, [
    "no dynamic clipping",
    "no noise in the step that ends at time 0",
    "no ᾱ other than 1 at time 0",
  ]],
  ["guidance, losses and updates", trainingOps, []],
  ["layers", (gpu) => layerOps(gpu, "im2col"), LACKING_LAYERS],
  ["layers with convolutions by F(2x2)", (gpu) => {
    const { layer } = layerOps(gpu, "winograd2");
    return { layer };
  }, [...LACKING_LAYERS.slice(1), "no fast algorithm that changes the extent"]],
  ["networks", (gpu) => networkOps(gpu, FILES), []],
];

/** An operation that notes the options that it lacks; a report lists only the first of them. */
function noting(op: CandidateOp, lacked: Set<string>): CandidateOp {
  return async (request) => {
    try {
      return await op(request);
    } catch (error) {
      if (error instanceof UnsupportedError) lacked.add(error.message);
      throw error;
    }
  };
}

for (const [title, opsOf, lacking] of GROUPS) {
  gpuTest(`${title} conform`, async () => {
    const lacked = new Set<string>();
    const ops = Object.fromEntries(
      Object.entries(opsOf(await rememberingGpu())).map(([op, run]) => [op, noting(run, lacked)]),
    );
    const report = await verify(candidateOf("webgpu", ops), {
      ops: Object.keys(ops),
      runs: RUNS,
      files: FILES,
    });
    const failures = report.ops.flatMap(({ op, failure }) =>
      failure === null ? [] : [failureText(op, failure, null)]
    );
    assertEquals(
      Object.fromEntries(report.ops.map(({ op, verdict }) => [op, verdict])),
      Object.fromEntries(Object.keys(ops).map((op) => [op, "conforms"])),
      [tableOf(report), ...failures].join("\n\n"),
    );
    assertEquals([...lacked].filter((option) => !lacking.includes(option)), []);
  });
}
