"""Configurations of diffusers' schedulers for requests: used by diffusers_schedulers.py."""

import functools
import json

import torch
from diffusers import DDPMScheduler

from pipe import Unsupported, answer, tensor

BETAS = {"linear": "linear", "quadratic": "scaled_linear", "sigmoid": "sigmoid"}
PREDICTIONS = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}


def schedule_config(s):
    kind, config = s["kind"], {"rescale_betas_zero_snr": bool(s.get("zeroTerminalSnr"))}
    if kind in BETAS:
        config.update(beta_schedule=BETAS[kind], beta_start=s["betaStart"], beta_end=s["betaEnd"])
    elif kind == "cosine" and s.get("s", 0.008) == 0.008 and s.get("maxBeta", 0.999) == 0.999:
        config.update(beta_schedule="squaredcos_cap_v2")
    elif kind in ("betas", "constant"):
        config.update(trained_betas=s["betas"] if kind == "betas" else [s["beta"]] * s["T"])
    else:
        raise Unsupported(f"schedule.kind {kind}" + (" with s, maxBeta" if kind == "cosine" else ""))
    return dict(config, num_train_timesteps=s["T"] if kind != "betas" else len(s["betas"]))


def clip_config(clip):
    if clip is None:
        return {"clip_sample": False}
    if clip["kind"] == "static":
        return {"clip_sample": True, "clip_sample_range": clip["range"]}
    ratio, limit = clip["quantile"], clip["max"]
    return {"thresholding": True, "dynamic_thresholding_ratio": ratio, "sample_max_value": limit}


@functools.lru_cache(200)
def cached(kind, text):
    try:
        return kind(**json.loads(text))
    except NotImplementedError:
        raise Unsupported(f"{kind.__name__} has no such schedule")


def scheduler(kind, request, **config):
    if "prediction" in request:
        if request["prediction"] not in PREDICTIONS:
            raise Unsupported("prediction " + request["prediction"])
        config["prediction_type"] = PREDICTIONS[request["prediction"]]
    return cached(kind, json.dumps({**schedule_config(request["schedule"]), **config}))


def ddpm(request, **config):
    made = scheduler(DDPMScheduler, request, **config)
    times = request["schedule"].get("keep") or range(1, made.config.num_train_timesteps + 1)
    made.set_timesteps(timesteps=[t - 1 for t in reversed(times)])
    return made


def per_sample(request, step, fields=("xt", "modelOutput", "z")):
    """The results of `step` for every sample, together: schedulers take one time for a batch."""
    tensors, N = [tensor(request[name]) for name in fields], request[fields[0]]["shape"][0]
    times = [request.get(name) for name in ("t", "tPrev", "tNext")]
    at = lambda n: [t[n] if isinstance(t, list) else t for t in times]
    rows = [step(*[x[n : n + 1] for x in tensors], *at(n)) for n in range(N)]
    return [answer(torch.cat(column)) for column in zip(*rows)]
