"""The schedulers of Hugging Face's diffusers, as `deno task verify` asks them.

    deno task verify -- .venv-interop/bin/python adapters/diffusers_schedulers.py --spacing leading

Nothing of diffusers is changed: schedulers get the configurations that they document, and the noise that
they would draw is given to them. What they cannot be configured to do is answered with `unsupported`.
--spacing is the timestep_spacing that DDIM is configured with. diffusers counts times from 0.
"""

import argparse
import functools
import json

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm
from diffusers.training_utils import compute_snr

import diffusers_more as more
from diffusers_config import cached, clip_config, ddpm, per_sample, schedule_config, scheduler
from pipe import Unsupported, answer, serve, tensor

parser = argparse.ArgumentParser()
parser.add_argument("--spacing", choices=["leading", "trailing", "linspace"], default="leading")
SPACING = parser.parse_args().spacing

VARIANCES = {"beta": "fixed_large", "betaTilde": "fixed_small"}


def ddpm_step(request):
    if request.get("finalNoise"):
        raise Unsupported("finalNoise")
    variance = request["variance"].replace("learnedRange", "learned_range")
    config = {"variance_type": VARIANCES.get(variance, variance), **clip_config(request["clip"])}
    made = ddpm(request, **config)

    def step(xt, output, z, t, *_):
        scheduling_ddpm.randn_tensor = lambda *_, **__: z
        return made.step(output, t - 1, xt, return_dict=False)

    return dict(zip(("x", "x0"), per_sample(request, step)))


@functools.lru_cache(4000)
def run(T, N):
    """The times, from 1, that a DDIM run of N steps visits."""
    made = DDIMScheduler(num_train_timesteps=T, timestep_spacing=SPACING, trained_betas=[0.5] * T)
    made.set_timesteps(N)
    return [t + 1 for t in made.timesteps.tolist()]


def steps_with(s, t, t_prev):
    """How many steps a run has that visits just the kept times, or t and then tPrev."""
    T, keep = schedule_config(s)["num_train_timesteps"], s.get("keep")
    for N in [len(keep)] if keep else range(T, 0, -1):
        times = run(T, N) + [0]
        following = (t, t_prev) in zip(times, times[1:])
        if following and (not keep or times[:-1] == keep[::-1]):
            return N
    raise Unsupported(f"no run with {SPACING} spacing has this step")


def ddim_step(request):
    if request.get("finalAlphaBar", 1) != 1:
        raise Unsupported("finalAlphaBar other than 1")
    config = {**clip_config(request["clip"]), "timestep_spacing": SPACING}
    made = scheduler(DDIMScheduler, request, **config)

    def step(xt, output, z, t, t_prev, _):
        made.set_timesteps(steps_with(request["schedule"], t, t_prev))
        options = {"use_clipped_model_output": request.get("rederiveEpsilon", True)}
        options.update(eta=request["eta"], variance_noise=z if request["eta"] > 0 else None)
        return made.step(output, t - 1, xt, return_dict=False, **options)

    return dict(zip(("x", "x0"), per_sample(request, step)))


def schedule(request):
    """Tables where a scheduler has them, and what its steps do with 1 where they do not."""
    made = ddpm(request, prediction_type="sample", clip_sample=False)
    keep = request["schedule"].get("keep")
    times = keep or list(range(1, made.config.num_train_timesteps + 1))
    index = torch.tensor(times) - 1
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    scheduling_ddpm.randn_tensor = lambda *_, **__: zero
    mean = lambda x0, x: [made.step(x0, t, x, return_dict=False)[0].item() for t in index.tolist()]
    variance = lambda kind: torch.stack(
        [made._get_variance(t, variance_type=kind) for t in index.tolist()]
    )
    at = lambda x0, noise: made.add_noise(x0.expand(len(index), 1, 1, 1), noise, index).flatten()
    beta = variance("fixed_large") if keep else made.betas
    tilde, snr = variance("fixed_small"), compute_snr(made, index).tolist()
    tables = {
        "beta": beta, "alpha": 1 - beta, "alphaBar": made.alphas_cumprod[index],
        "betaTilde": tilde, "logBetaTildeClipped": tilde.log(),
        "sqrtAlphaBar": at(one, zero), "sqrtOneMinusAlphaBar": at(zero, one),
    }
    numbers = {name: table.double().tolist() for name, table in tables.items()}
    coefficients = {"posteriorCoefX0": mean(one, zero), "posteriorCoefXt": mean(zero, one)}
    return {"timesteps": times, "snr": snr, **numbers, **coefficients}


def timesteps(request):
    if request["spacing"] not in ("leading", "trailing", "linspace"):
        raise Unsupported("spacing " + request["spacing"])
    config = {"num_train_timesteps": request["T"], "timestep_spacing": request["spacing"]}
    made = cached(DDPMScheduler, json.dumps(config))
    made.set_timesteps(request["steps"])
    return {"timesteps": [t + 1 for t in made.timesteps.tolist()]}


def q_sample(request):
    x0, t = tensor(request["x0"]), request["t"]
    times = torch.tensor(t if isinstance(t, list) else [t] * len(x0)) - 1
    made = scheduler(DDPMScheduler, request)
    return {"x": answer(made.add_noise(x0, tensor(request["noise"]), times))}


serve(f"diffusers {diffusers.__version__}, {SPACING} spacing,", (
    schedule, timesteps, q_sample, ddpm_step, ddim_step, more.ddim_encode_step, more.dpm_solver_step,
    more.guide, more.time_embedding, more.ema_step,
))
