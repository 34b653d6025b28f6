"""GaussianDiffusion of improved-diffusion or guided-diffusion, as `deno task verify` asks it.

    GAUSSIAN_DIFFUSION=~/guided-diffusion/guided_diffusion \
        deno task verify -- python3 adapters/gaussian_diffusion.py

GAUSSIAN_DIFFUSION is the folder with gaussian_diffusion.py and respace.py in a checkout of either: no
package registry has them as such. Both count times from 0. torch and numpy are needed.
"""

import pathlib

import numpy as np
import torch

from gaussian_diffusion_config import FOLDER, gd, losses, nn, process, respace
from pipe import Unsupported, answer, serve, tensor


def per_sample(value):
    return value.reshape(len(value), -1)[:, 0].double().tolist()


def indices(request, p, shape):
    t = request["t"]
    times = t if isinstance(t, list) else [t] * shape[0]
    return torch.tensor([p.timestep_map.index(time - 1) for time in times])


def reverse(request):
    """The process, and the arguments of its methods: model, x, t, clip_denoised."""
    p, xt, output = process(request), tensor(request["xt"]), tensor(request["modelOutput"])
    clip = request["clip"]
    if clip not in (None, {"kind": "static", "range": 1}):
        raise Unsupported("clip other than [-1, 1]")
    return p, (lambda *_: output, xt, indices(request, p, xt.shape), clip is not None)


def with_noise(request, sample):
    gd.th.randn_like = lambda _: tensor(request["z"])
    out = sample()
    return {"x": answer(out["sample"]), "x0": answer(out["pred_xstart"])}


def schedule(request):
    p = process(request)
    with np.errstate(divide="ignore"):
        tables = {
            "beta": p.betas, "alpha": 1 - p.betas, "alphaBar": p.alphas_cumprod,
            "betaTilde": p.posterior_variance,
            "logBetaTildeClipped": p.posterior_log_variance_clipped,
            "posteriorCoefX0": p.posterior_mean_coef1, "posteriorCoefXt": p.posterior_mean_coef2,
            "sqrtAlphaBar": p.sqrt_alphas_cumprod,
            "sqrtOneMinusAlphaBar": p.sqrt_one_minus_alphas_cumprod,
            "snr": p.alphas_cumprod / (1 - p.alphas_cumprod),
        }
    return {"timesteps": [t + 1 for t in p.timestep_map], **{k: v.tolist() for k, v in tables.items()}}


def timesteps(request):
    T, spacing, steps = request["T"], request["spacing"], request["steps"]
    if spacing not in ("stride", "sections"):
        raise Unsupported("spacing " + spacing)
    sections = request.get("sections") or [steps]
    times = respace.space_timesteps(T, f"ddim{steps}" if spacing == "stride" else sections)
    return {"timesteps": sorted((t + 1 for t in times), reverse=True)}


def q_sample(request):
    p, x0 = process(request), tensor(request["x0"])
    return {"x": answer(p.q_sample(x0, indices(request, p, x0.shape), tensor(request["noise"])))}


def q_mean_variance(request):
    p, x0 = process(request), tensor(request["x0"])
    mean, variance, log = p.q_mean_variance(x0, indices(request, p, x0.shape))
    return {"mean": answer(mean), "variance": per_sample(variance), "logVariance": per_sample(log)}


def q_posterior(request):
    p, x0 = process(request), tensor(request["x0"])
    t = indices(request, p, x0.shape)
    mean, variance, log = p.q_posterior_mean_variance(x0, tensor(request["xt"]), t)
    logs = per_sample(log)
    return {"mean": answer(mean), "variance": per_sample(variance), "logVarianceClipped": logs}


def p_mean_variance(request):
    p, arguments = reverse(request)
    out = p.p_mean_variance(*arguments)
    return {
        "mean": answer(out["mean"]), "variance": answer(out["variance"]),
        "logVariance": answer(out["log_variance"]), "x0": answer(out["pred_xstart"]),
    }


def ddpm_step(request):
    if request.get("finalNoise"):
        raise Unsupported("finalNoise")
    p, arguments = reverse(request)
    return with_noise(request, lambda: p.p_sample(*arguments))


def ddim_step(request):
    if request.get("finalAlphaBar", 1) != 1 or not request.get("rederiveEpsilon", True):
        raise Unsupported("finalAlphaBar other than 1, rederiveEpsilon false")
    p, arguments = reverse(request)
    before = [0] + [t + 1 for t in p.timestep_map]
    listed = lambda t: t if isinstance(t, list) else [t]
    pairs = zip(listed(request["t"]), listed(request["tPrev"]))
    if any(before[before.index(t) - 1] != t_prev for t, t_prev in pairs):
        raise Unsupported("tPrev other than the step before t")
    return with_noise(request, lambda: p.ddim_sample(*arguments, eta=request["eta"]))


def vlb_term(request):
    if request["cdf"] != "tanh":
        raise Unsupported("cdf erf")
    p, (model, xt, t, clip) = reverse(request)
    out = p._vb_terms_bpd(model, tensor(request["x0"]), xt, t, clip)
    return {"bitsPerDim": out["output"].double().tolist()}


def prior_kl(request):
    return {"bitsPerDim": process(request)._prior_bpd(tensor(request["x0"])).double().tolist()}


def normal_kl(request):
    fields = ("mean1", "logVariance1", "mean2", "logVariance2")
    return {"kl": answer(losses.normal_kl(*[tensor(request[name]) for name in fields]))}


def decoder_nll(request):
    if request["cdf"] != "tanh":
        raise Unsupported("cdf erf")
    x0, mean, log_scale = [tensor(request[name]) for name in ("x0", "mean", "logScale")]
    log = losses.discretized_gaussian_log_likelihood(x0, means=mean, log_scales=log_scale)
    return {"nll": answer(-log)}


def time_embedding(request):
    if request["order"] != "cosSin" or request["shift"] != 0:
        raise Unsupported("order sinCos, shift 1")
    times = torch.tensor(request["timesteps"])
    return {"embedding": answer(nn.timestep_embedding(times, request["dim"], request["maxPeriod"]))}


serve("GaussianDiffusion in " + pathlib.Path(FOLDER).resolve().name + ",", (
    schedule, timesteps, q_sample, q_mean_variance, q_posterior, p_mean_variance, ddpm_step, ddim_step,
    vlb_term, prior_kl, normal_kl, decoder_nll, time_embedding,
))
