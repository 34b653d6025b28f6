/**
 * Operations of the protocol that launches of sampling and training plans answer: guidance, losses and
 * the update of weights, with what the network would have computed written in its place.
 */
import { tensor } from "../../src/math/tensor.ts";
import type { CandidateOp } from "../../src/oracle/verify/mod.ts";
import { weightAt, type Weighting, type WeightVariance } from "../../src/reference/loss.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import type { ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import {
  type OptimizerStep,
  optimizerStepNumbers,
} from "../../src/webgpu/kernels/optimizer_step.ts";
import { defaultVariants, type Gpu } from "../../src/webgpu/mod.ts";
import type { PlanTensor } from "../../src/webgpu/plan.ts";
import { samplingPlan } from "../../src/webgpu/sampling_plan.ts";
import { type TrainingPlan, trainingPlan } from "../../src/webgpu/unet_plan.ts";
import { Excerpt } from "./excerpt.ts";
import type { JsonTensor } from "./judged_steps.ts";

/** Images of `shape` in and out, and as little as possible between. */
function planRequest(gpu: Gpu, [batch, channels, height, width]: readonly number[]) {
  const config: UNetConfig = unetConfig({
    ...{ inChannels: channels, outChannels: channels, layersPerBlock: 1, addAttention: false },
    ...{ downBlockTypes: ["DownBlock2D"], upBlockTypes: ["UpBlock2D"] },
    ...{ blockOutChannels: [8], normNumGroups: 1 },
  });
  return { config, batch, height, width, variants: defaultVariants(gpu.adapterClass) };
}

interface GuideRequest {
  readonly conditional: JsonTensor;
  readonly unconditional: JsonTensor;
  readonly scale: number;
  readonly rescale: number;
}

/** The guidance of a sampling step, where the network has given both outputs. */
function guideOp(gpu: Gpu): CandidateOp {
  return async (asked) => {
    const { conditional, unconditional, scale, rescale } = asked as unknown as GuideRequest;
    const { shape, data } = conditional;
    const { plan } = samplingPlan({
      ...planRequest(gpu, shape),
      ...{ steps: 1, noisy: false, guidance: { scale, rescale } },
    });
    const excerpt = new Excerpt(plan, ({ kernel }) => kernel.startsWith("guidance"));
    const output = Float32Array.from([...data, ...unconditional.data]);
    const [both] = await excerpt.run(gpu, { output }, ["output"]);
    return { value: tensor(shape, both.subarray(0, data.length)) };
  };
}

interface LossRequest {
  readonly epsilon: JsonTensor;
  readonly epsilonHat: JsonTensor;
}

/** The loss of a training step, where the network has given ε̂. Its sum, which the device does not keep, is from its mean. */
async function lossOf(gpu: Gpu, { epsilon, epsilonHat }: LossRequest, weights: Float32Array) {
  const { shape, data } = epsilon;
  const { plan } = trainingPlan(planRequest(gpu, shape));
  const [[mean], gradient] = await new Excerpt(plan, ({ layer }) => layer === "loss").run(
    gpu,
    {
      target: Float32Array.from(data),
      output: Float32Array.from(epsilonHat.data),
      weights,
    },
    ["loss", "d output"],
  );
  return { mean, sum: mean * data.length, gradient: tensor(shape, gradient) };
}

interface WeightedRequest extends LossRequest {
  readonly schedule: ScheduleConfig;
  readonly t: number | readonly number[];
  readonly weighting: Weighting["kind"];
  readonly variance?: "beta" | "betaTilde";
  readonly sigma2?: number;
  readonly gamma?: number;
  readonly p2K?: number;
  readonly p2Gamma?: number;
}

function weightingOf(request: WeightedRequest): Weighting {
  const { weighting: kind, variance, sigma2, gamma, p2K, p2Gamma } = request;
  switch (kind) {
    case "vlb":
      return { kind, variance: variance ?? { sigma2 } as WeightVariance };
    case "minSnr":
      return { kind, gamma };
    case "p2":
      return { kind, k: p2K, gamma: p2Gamma };
    case "none":
      return { kind };
  }
}

/** Places of a few parameters, which hold the numbers of a request while all others are 0. */
const PLACES = ["conv_in.bias", "conv_norm_out.weight", "conv_norm_out.bias"] as const;

/** One number for each of the parameters, 0 but at the places. */
function flat({ plan, parameters }: TrainingPlan, values: readonly (readonly number[])[]) {
  const all = new Float32Array(plan.sizes.parameters);
  values.forEach((value, i) => {
    all.set(value, (parameters.get(PLACES[i]) as PlanTensor).offset);
  });
  return all;
}

/** Numbers of the update, by the buffer that holds them. */
type UpdateState = Readonly<
  Record<"gradients" | "parameters" | "moment1" | "moment2" | "ema", readonly JsonTensor[]>
>;

const NOTHING: UpdateState = {
  ...{ gradients: [], parameters: [], moment1: [], moment2: [], ema: [] },
};
/** A step that changes no weight: at rate 0, with moments and average replaced. */
const STILL: OptimizerStep = {
  ...{ step: 1, lr: 0, beta1: 0, beta2: 0, eps: 1, weightDecay: 0, decoupled: true },
  ...{ maxNorm: null, emaDecay: 0 },
};

/** The update of a training step: clipping, Adam and the average of the weights. */
async function update(gpu: Gpu, state: Partial<UpdateState>, options: Partial<OptimizerStep>) {
  const planned = trainingPlan(planRequest(gpu, [1, 1, 1, 1]));
  const buffers = Object.entries({ ...NOTHING, ...state });
  const [norm, parameters, moment1, moment2, ema] = await new Excerpt(
    planned.plan,
    ({ phase }) => phase === "update",
  ).run(
    gpu,
    {
      "optimiser step": optimizerStepNumbers({ ...STILL, ...options }),
      ...Object.fromEntries(
        buffers.map(([name, tensors]) => [
          `${name} 0`,
          flat(planned, tensors.map(({ data }) => data)),
        ]),
      ),
    },
    ["norm", "parameters 0", "moment1 0", "moment2 0", "ema 0"],
  );
  /** What lies at a place, in the shape of what was asked. */
  const taken = (all: Float32Array, { shape, data }: JsonTensor, i = 0) => {
    const { offset } = planned.parameters.get(PLACES[i]) as PlanTensor;
    return tensor(shape, all.subarray(offset, offset + data.length));
  };
  return { norm: norm[0], parameters, moment1, moment2, ema, taken };
}

/** What a request has of the tensors and numbers of a training step. */
type TrainingRequest = Readonly<
  & Record<"params" | "grad" | "m" | "v" | "ema", JsonTensor>
  & { grads: readonly JsonTensor[]; maxNorm: number; decay: number }
  & Omit<OptimizerStep, "maxNorm" | "emaDecay">
>;

/** `guide`, the losses, and the operations of an update. */
export function trainingOps(gpu: Gpu): Readonly<Record<string, CandidateOp>> {
  return {
    guide: guideOp(gpu),
    loss_simple: (asked) => {
      const request = asked as unknown as LossRequest;
      return lossOf(gpu, request, new Float32Array(request.epsilon.shape[0]).fill(1));
    },
    // The weights themselves are the caller's.
    loss_weighted: (asked) => {
      const request = asked as unknown as WeightedRequest;
      const { t, epsilon: { shape: [N] } } = request, schedule = createSchedule(request.schedule);
      const weighting = weightingOf(request);
      const weights = Float32Array.from(
        { length: N },
        (_, n) => weightAt(schedule, typeof t === "number" ? t : t[n], weighting),
      );
      return lossOf(gpu, request, weights);
    },
    adam_step: async (asked) => {
      const { params, grad, m, v, ...options } = asked as unknown as TrainingRequest;
      const { parameters, moment1, moment2, taken } = await update(
        gpu,
        { parameters: [params], gradients: [grad], moment1: [m], moment2: [v] },
        { ...options, maxNorm: null },
      );
      return {
        params: taken(parameters, params),
        m: taken(moment1, m),
        v: taken(moment2, v),
      };
    },
    ema_step: async (asked) => {
      const { ema, params, decay } = asked as unknown as TrainingRequest;
      const after = await update(gpu, { parameters: [params], ema: [ema] }, { emaDecay: decay });
      return { ema: after.taken(after.ema, ema) };
    },
    // At β₁ = 0 the first moments are the clipped gradients.
    clip_grad_norm: async (asked) => {
      const { grads, maxNorm } = asked as unknown as TrainingRequest;
      const { norm, moment1, taken } = await update(gpu, { gradients: grads }, { maxNorm });
      return { norm, grads: grads.map((grad, i) => taken(moment1, grad, i)) };
    },
  };
}
