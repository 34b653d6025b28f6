import { adamStep } from "../../reference/adam.ts";
import { emaStep } from "../../reference/ema.ts";
import { clipGradNorm } from "../../reference/grad_norm.ts";
import { booleanField, type Fields, integerField, numberField } from "../fields.ts";
import type { Result } from "../result.ts";
import { tensorField, tensorFieldLike, tensorsField } from "../tensors.ts";

/** One step of Adam on one tensor. */
export function adamStepOp(request: Fields): Result {
  const params = tensorField(request, "params");
  const like = (name: string) => tensorFieldLike(request, name, params.shape);
  const next = adamStep(
    { params, m: like("m"), v: like("v") },
    like("grad"),
    integerField(request, "step", 1, Number.MAX_SAFE_INTEGER),
    {
      lr: numberField(request, "lr"),
      beta1: numberField(request, "beta1"),
      beta2: numberField(request, "beta2"),
      eps: numberField(request, "eps"),
      weightDecay: numberField(request, "weightDecay"),
      decoupled: booleanField(request, "decoupled"),
    },
  );
  return { params: next.params, m: next.m, v: next.v };
}

/** One step of an exponential moving average. */
export function emaStepOp(request: Fields): Result {
  const ema = tensorField(request, "ema");
  const params = tensorFieldLike(request, "params", ema.shape);
  return { ema: emaStep(ema, params, numberField(request, "decay")) };
}

/** Gradients clipped by their global norm. */
export function clipGradNormOp(request: Fields): Result {
  const clipped = clipGradNorm(tensorsField(request, "grads"), numberField(request, "maxNorm"));
  return { grads: clipped.grads, norm: clipped.norm };
}
