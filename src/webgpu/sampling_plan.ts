/**
 * The plan of a sampling step for one batch size.
 *
 * @module
 */
import { advance, samplerStep } from "./kernels/sampler.ts";
import { copy } from "./kernels/elementwise.ts";
import { embedding } from "./kernels/embedding.ts";
import { guidance, type GuidanceOptions } from "./kernels/guidance.ts";
import type { View } from "./kernel.ts";
import { type Activation, channelRange, Network, positions } from "./network.ts";
import type { PlanTensor } from "./plan.ts";
import { ROW_SIZE } from "./sampler_rows.ts";
import { UNetNetwork } from "./unet_network.ts";
import {
  byName,
  checkExtent,
  makeInputs,
  makeOutput,
  type UNetPlan,
  type UNetPlanRequest,
} from "./unet_plan.ts";

/**
 * A plan of one sampling step and the tensors by which the host talks to it. With guidance the network's
 * batch is twice as large: `inputs.classes` are those of the samples, then the null class as often.
 */
export interface SamplingPlan extends UNetPlan {
  /** x_t of the samples, which becomes x_prev, `[N, C, H, W]`: the first half of `inputs.x` with guidance. */
  readonly x: Activation;
  /** x̂_0 of the last step, shaped like `x`; null if it was not asked for. */
  readonly x0: PlanTensor | null;
  /** Sinusoidal embeddings of the times of all steps, in their order. */
  readonly timeTable: PlanTensor;
  /** What `samplerRows` returns. */
  readonly rows: PlanTensor;
  /** u32 `[1]`: number of the next step, from 0. */
  readonly step: PlanTensor;
  /** z of the next step, `[N, C, H, W]`; null where no step takes noise. */
  readonly noise: PlanTensor | null;
}

/** What a sampling plan is made for. */
export interface SamplingRequest extends UNetPlanRequest {
  /** Steps of the loop. */
  readonly steps: number;
  /** Whether steps take noise. */
  readonly noisy: boolean;
  /** Classifier-free guidance, or null for none. Default null. */
  readonly guidance?: GuidanceOptions | null;
  /** Whether x̂_0 is kept for the host to read. Default false. */
  readonly keepX0?: boolean;
}

/**
 * The plan of a sampling step: the step's times, the network, x_t → x_prev in place, and on to the next
 * step's numbers. An output with twice the channels of x ends in the variance part.
 *
 * With guidance the network sees every x_t twice in one batch, with and without its class, so that every
 * weight is read once a step. Guidance is of the mean part; the variance part is the conditional one's
 * (as in Nichol et al. 2021, GLIDE).
 *
 * @throws {ArgumentError} if height or width cannot be halved as often as the network does.
 */
export function samplingPlan(request: SamplingRequest): SamplingPlan {
  checkExtent(request);
  const { config, variants: { other }, batch: N, steps, noisy } = request;
  const { guidance: guided = null, keepX0 = false } = request;
  const ofNetwork = { ...request, batch: guided === null ? N : 2 * N };
  const net = new Network(config, false, request.variants, false, request.streamed);
  const { plan } = net;
  const inputs = makeInputs(net, ofNetwork);
  const { times } = inputs;
  const x = { ...inputs.x, N };
  const D = x.C * positions(x);
  const whole = makeOutput(net, ofNetwork);
  const timeTable = plan.tensor("state", "times of all steps", steps * times.C);
  const rows = plan.tensor("state", "sampler rows", steps * ROW_SIZE);
  const step = plan.tensor("state", "step number", 1);
  const noise = noisy ? plan.tensor("state", "noise", N * D) : null;
  const x0 = keepX0 ? plan.tensor("state", "x0", N * D) : null;
  net.inLayer("sampler", () => {
    const tensors = { table: timeTable, labels: step, y: times.view };
    net.add(embedding({ N: times.N, E: times.C }, tensors, true));
    if (guided === null) return;
    net.add(copy(other, { N, D }, { x: x.view, y: samplesFrom(x, N) }));
  });
  new UNetNetwork(net, config, inputs).forward(whole);
  const output = { ...whole, N };
  const ownView = (tensor: PlanTensor): View<PlanTensor> => ({
    tensor,
    offset: 0,
    sampleStride: D,
  });
  net.inLayer("sampler", () => {
    if (guided !== null) {
      net.add(guidance(other, { N, D }, {
        unconditional: samplesFrom(output, N),
        conditional: output.view,
        output: output.view,
      }, guided));
    }
    net.add(samplerStep(other, { N, D }, {
      x: x.view,
      output: output.view,
      variance: output.C === 2 * x.C ? channelRange(output, x.C, x.C).view : null,
      noise: noise && ownView(noise),
      x0: x0 && ownView(x0),
      rows,
      step,
    }));
    net.add(advance(step));
  });
  const parameters = byName(net, (name) => net.parameter(name));
  return { plan: plan.finish(), inputs, output, parameters, x, x0, timeTable, rows, step, noise };
}

/** The samples of an activation's tensor from number `first` on. */
function samplesFrom({ view }: Activation, first: number): View<PlanTensor> {
  return { ...view, offset: view.offset + first * view.sampleStride };
}
