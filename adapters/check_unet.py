"""Runs a UNet2DModel of diffusers as another program asks, so that its output can be compared.

    python3 adapters/check_unet.py < requests.jsonl > answers.jsonl

One JSON object per line. A request:
    folder     a pipeline's folder, as `deno task convert` writes it
    x          {"shape": [N, C, H, W], "data": [...]}
    timesteps  N numbers, from 0
    labels     N classes; leave out for a network without classes
    double     true: everything in float64, the time embedding too, which diffusers makes in float32;
               false: as from_pretrained gives it
    save       a new folder that the pipeline is saved to; may be left out
An answer:
    output     {"shape": ..., "data": [...]}
    pipeline, scheduler, prediction_type, betas, dtype, parameters: what from_pretrained made of the
               folder
    versions   of the packages
or {"error": "..."}.
"""
import json
import math
import sys

import diffusers
import torch
from diffusers import DDIMPipeline, DDPMPipeline, UNet2DModel


class DoubleTimes(torch.nn.Module):
    """The sinusoidal embedding of diffusers, with no float32 in it."""

    def __init__(self, config):
        super().__init__()
        self.half = config.block_out_channels[0] // 2
        self.shift, self.flip = config.freq_shift, config.flip_sin_to_cos

    def forward(self, timesteps):
        i = torch.arange(self.half, dtype=torch.float64)
        frequencies = torch.exp(-math.log(10000) * i / (self.half - self.shift))
        angles = timesteps.double()[:, None] * frequencies[None, :]
        halves = [angles.sin(), angles.cos()]
        return torch.cat(halves[::-1] if self.flip else halves, dim=1)


def tensor(value, dtype):
    return torch.tensor(value["data"], dtype=dtype).reshape(value["shape"])


def answer(request):
    folder = request["folder"]
    with open(f"{folder}/model_index.json") as file:
        kind = {"DDPMPipeline": DDPMPipeline, "DDIMPipeline": DDIMPipeline}[
            json.load(file)["_class_name"]
        ]
    pipeline = kind.from_pretrained(folder)
    # Loaded by itself as well: a folder must serve both ways.
    model, notes = UNet2DModel.from_pretrained(
        folder, subfolder="unet", output_loading_info=True
    )
    unused = [key for key, names in notes.items() if names]
    if unused:
        return {"error": f"from_pretrained says {unused}: {notes}"}
    for name, value in pipeline.unet.state_dict().items():
        if not torch.equal(value, model.state_dict()[name]):
            return {"error": f"{name} differs between pipeline and model"}
    if "save" in request:
        pipeline.save_pretrained(request["save"])
    dtype = str(model.dtype)
    if request["double"]:
        model.double()
        model.time_proj = DoubleTimes(model.config)
    precision = torch.float64 if request["double"] else model.dtype
    labels = request.get("labels")
    with torch.no_grad():
        output = model.eval()(
            tensor(request["x"], precision),
            torch.tensor(request["timesteps"]),
            class_labels=None if labels is None else torch.tensor(labels),
        ).sample
    scheduler = pipeline.scheduler
    return {
        "output": {"shape": list(output.shape), "data": output.double().flatten().tolist()},
        "dtype": dtype,
        "parameters": sum(value.numel() for value in model.parameters()),
        "versions": f"diffusers {diffusers.__version__}, torch {torch.__version__}",
        "pipeline": type(pipeline).__name__,
        "scheduler": type(scheduler).__name__,
        "prediction_type": scheduler.config.prediction_type,
        "betas": scheduler.betas.double().tolist(),
    }


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:  # Whatever it is, it is the answer.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
