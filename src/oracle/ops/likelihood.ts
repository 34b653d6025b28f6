import { decoderNll } from "../../reference/decoder.ts";
import { normalKl } from "../../reference/gaussian.ts";
import { priorKl, vlbTerm } from "../../reference/likelihood.ts";
import type { Fields } from "../fields.ts";
import { cdfField, reverseFields, scheduleField, tField } from "../options.ts";
import type { Result } from "../result.ts";
import { tensorField } from "../tensors.ts";

/** KL divergence of two Gaussians, elementwise in nats. */
export function normalKlOp(request: Fields): Result {
  return {
    kl: normalKl(
      tensorField(request, "mean1"),
      tensorField(request, "logVariance1"),
      tensorField(request, "mean2"),
      tensorField(request, "logVariance2"),
    ),
  };
}

/** −ln of the discretised decoder, elementwise in nats. */
export function decoderNllOp(request: Fields): Result {
  return {
    nll: decoderNll(
      tensorField(request, "x0"),
      tensorField(request, "mean"),
      tensorField(request, "logScale"),
      cdfField(request),
    ),
  };
}

/** L_{t−1}, or L_0 at the first step, per sample in bits per dimension. */
export function vlbTermOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const x0 = tensorField(request, "x0"), xt = tensorField(request, "xt");
  const output = tensorField(request, "modelOutput");
  const options = { ...reverseFields(request), cdf: cdfField(request) };
  const t = tField(request, schedule, x0);
  return { bitsPerDim: vlbTerm(schedule, t, x0, xt, output, options) };
}

/** L_T per sample in bits per dimension. */
export function priorKlOp(request: Fields): Result {
  const schedule = scheduleField(request);
  return { bitsPerDim: priorKl(schedule, tensorField(request, "x0")) };
}
