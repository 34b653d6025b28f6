"""What else of diffusers answers `deno task verify`: used by diffusers_schedulers.py."""

import torch
from diffusers import DDIMInverseScheduler, DPMSolverMultistepScheduler
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.training_utils import EMAModel

from diffusers_config import clip_config, per_sample, scheduler
from pipe import Unsupported, answer, tensor


def ddim_encode_step(request):
    config, s = clip_config(request["clip"]), request["schedule"]
    if request.get("rederiveEpsilon", True) and request["clip"]:
        raise Unsupported("rederiveEpsilon with clip")
    if "thresholding" in config or s.get("keep"):
        raise Unsupported("keep" if s.get("keep") else "clip dynamic")
    made = scheduler(DDIMInverseScheduler, request, **config)
    T = made.config.num_train_timesteps

    def step(xt, output, t, _, t_next):
        steps = next((N for N in range(1, T + 1) if T // N == t_next - t), None)
        if steps is None or t_next > T:
            raise Unsupported("tNext T + 1, or no run that has this step")
        made.set_timesteps(steps)
        return made.step(output, t_next - 1, xt, return_dict=False)

    return {"x": per_sample(request, step, ("xt", "modelOutput"))[0]}


def dpm_solver_step(request):
    config, s = clip_config(request["clip"]), request["schedule"]
    if config.pop("clip_sample", False):
        raise Unsupported("clip static")
    order, past = request["order"], request["history"][: request["order"] - 1]
    made = scheduler(
        DPMSolverMultistepScheduler, request, solver_order=order, lower_order_final=False, **config
    )

    def step(n):
        at = lambda t: t[n] if isinstance(t, list) else t
        cut = lambda value: tensor(value)[n : n + 1]
        later = [at(request["tPrev"])] if at(request["tPrev"]) > 0 else []
        times = [at(entry["t"]) for entry in reversed(past)] + [at(request["t"])] + later
        made.set_timesteps(timesteps=[t - 1 for t in times])
        made.set_begin_index(len(past))
        made.model_outputs = [None] + [cut(entry["x0"]) for entry in reversed(past)]
        made.lower_order_nums = len(past)
        output, xt = cut(request["modelOutput"]), cut(request["xt"])
        (x,) = made.step(output, at(request["t"]) - 1, xt, return_dict=False)
        return x, made.model_outputs[-1]

    rows = [step(n) for n in range(request["xt"]["shape"][0])]
    x, x0 = [answer(torch.cat(column)) for column in zip(*rows)]
    return {"x": x, "x0": x0}


def guide(request):
    guider = ClassifierFreeGuidance(request["scale"], request["rescale"])
    outputs = [tensor(request[name]) for name in ("conditional", "unconditional")]
    return {"value": answer(guider.forward(*outputs).pred)}


def time_embedding(request):
    order, shift, period = request["order"] == "cosSin", request["shift"], request["maxPeriod"]
    times = torch.tensor(request["timesteps"])
    made = get_timestep_embedding(times, request["dim"], order, shift, max_period=period)
    return {"embedding": answer(made)}


def ema_step(request):
    decay, parameter = request["decay"], torch.nn.Parameter(tensor(request["ema"]))
    model = EMAModel([parameter], decay=decay, min_decay=decay)
    # In its first step it copies the parameters, whatever the decay.
    model.optimization_step = 1
    parameter.data = tensor(request["params"])
    model.step([parameter])
    return {"ema": answer(model.shadow_params[0])}
