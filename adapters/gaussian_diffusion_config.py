"""Loads gaussian_diffusion.py and makes what a request asks for: used by gaussian_diffusion.py."""

import functools
import importlib
import json
import os
import sys
import types

import numpy as np
import torch

from pipe import Unsupported

FOLDER = os.environ.get("GAUSSIAN_DIFFUSION", "")
if not os.path.isfile(os.path.join(FOLDER, "gaussian_diffusion.py")):
    sys.exit(f"Expected GAUSSIAN_DIFFUSION to be a folder with gaussian_diffusion.py but got {FOLDER!r}")
# Its own __init__ may import what is not installed: the modules are loaded without it.
package = types.ModuleType("candidate")
package.__path__ = [FOLDER]
sys.modules["candidate"] = package
gd, losses, nn, respace = [
    importlib.import_module("candidate." + name)
    for name in ("gaussian_diffusion", "losses", "nn", "respace")
]

MEANS = {"epsilon": "EPSILON", "x0": "START_X", "previousX": "PREVIOUS_X"}
VARIANCES = {
    "beta": "FIXED_LARGE", "betaTilde": "FIXED_SMALL",
    "learned": "LEARNED", "learnedRange": "LEARNED_RANGE",
}


def betas_of(s):
    if s["kind"] == "betas":
        return s["betas"]
    if s["kind"] == "linear":
        # get_named_beta_schedule has these numbers for T = 1000 and scales them for others.
        return np.linspace(s["betaStart"], s["betaEnd"], s["T"], dtype=np.float64)
    if s["kind"] == "quadratic":
        return np.linspace(s["betaStart"] ** 0.5, s["betaEnd"] ** 0.5, s["T"], dtype=np.float64) ** 2
    if s["kind"] == "constant":
        return [s["beta"]] * s["T"]
    if s["kind"] == "cosine" and s.get("s", 0.008) == 0.008 and s.get("maxBeta", 0.999) == 0.999:
        return gd.get_named_beta_schedule("cosine", s["T"])
    raise Unsupported("schedule.kind " + s["kind"])


@functools.lru_cache(200)
def made(schedule, prediction, variance):
    s = json.loads(schedule)
    if s.get("zeroTerminalSnr"):
        raise Unsupported("zeroTerminalSnr")
    betas, keep = betas_of(s), s.get("keep")
    if len(keep or betas) == 1:
        raise Unsupported("a process of one step")
    times = [t - 1 for t in keep] if keep else range(len(betas))
    return respace.SpacedDiffusion(
        times, betas=np.array(betas), loss_type=gd.LossType.MSE,
        model_mean_type=gd.ModelMeanType[MEANS[prediction]],
        model_var_type=gd.ModelVarType[VARIANCES[variance]],
    )


def process(request):
    prediction = request.get("prediction", "epsilon")
    if prediction not in MEANS:
        raise Unsupported("prediction " + prediction)
    variance = request.get("variance", "betaTilde")
    return made(json.dumps(request["schedule"]), prediction, variance)
