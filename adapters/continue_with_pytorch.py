"""Goes on training, in PyTorch, with a run that began here; `convert` then brings it back.

    deno task convert runs/mnist hub/mnist
    python3 adapters/continue_with_pytorch.py hub/mnist --images images.npz --steps 1000
    deno task convert hub/mnist runs/more/checkpoint.safetensors
    deno task train --resume --out runs/more

The folder is an ordinary pipeline of diffusers with three things more: the weights of the last step
(unet_raw/; unet/ holds their average, which pipelines sample with), Adam's moments
(optimizer.safetensors) and how far the run is (training_state.json). They are written back as they
were found, so this file is a start for a training script of your own: what it reads and writes is
`load` and `save`, and everything between them is yours to change.

Images: an .npz with arr_0 of bytes [N, H, W, C] and, for a network with classes, arr_1 of labels.
Needs torch, diffusers, safetensors and numpy; --accelerate uses accelerate for other devices.
"""
import argparse
import json
import math

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file


def load(folder):
    """The run in a folder: (model, average, scheduler, optimizer, state)."""
    with open(f"{folder}/training_state.json") as file:
        state = json.load(file)
    raw, ema = folders(state)
    model = UNet2DModel.from_pretrained(folder, subfolder=raw)
    average = UNet2DModel.from_pretrained(folder, subfolder=ema).requires_grad_(False)
    # Of DDIM's config it takes the process, which is all that training needs.
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    recipe = state["recipe"]
    optimizer = torch.optim.AdamW(  # Adam, where weight_decay is 0
        model.parameters(),
        lr=recipe["lr"],
        betas=tuple(recipe["betas"]),
        eps=recipe["eps"],
        weight_decay=recipe["weight_decay"],
    )
    moments = load_file(f"{folder}/optimizer.safetensors")
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(state["step"])),
            "exp_avg": moments[f"exp_avg/{name}"],
            "exp_avg_sq": moments[f"exp_avg_sq/{name}"],
        }
    return model, average, scheduler, optimizer, state


def save(folder, model, average, optimizer, state):
    """Writes a run where `load` finds it."""
    raw, ema = folders(state)
    model.save_pretrained(f"{folder}/{raw}")
    average.save_pretrained(f"{folder}/{ema}")
    moments = {
        f"{kind}/{name}": optimizer.state[parameter][kind].contiguous().cpu()
        for name, parameter in model.named_parameters()
        for kind in ("exp_avg", "exp_avg_sq")
    }
    save_file(moments, f"{folder}/optimizer.safetensors", metadata={"format": "pt"})
    with open(f"{folder}/training_state.json", "w") as file:
        json.dump(state, file, indent=2)


def folders(state):
    """The folders of the last step's weights and of their average."""
    return ("unet_raw", "unet") if state["weights"] == "ema" else ("unet", "unet_ema")


def learning_rate(recipe, step):
    """Up over the warm-up, then level, or down along half a cosine."""
    warmup, end = recipe["lr_warmup_steps"], recipe["lr_decay_end"]
    if step <= warmup or end == 0:
        return recipe["lr"] * min(1, step / max(1, warmup))
    share = min(1, (step - warmup) / max(1, end - warmup))
    return recipe["lr"] * 0.5 * (1 + math.cos(math.pi * share))


def examples(images, labels, model, recipe):
    """One batch: x_0 in [-1, 1] and, where the network takes them, classes, some of them withheld."""
    pick = torch.randint(len(images), (recipe["batch_size"],))
    x0 = images[pick].permute(0, 3, 1, 2).float() / 127.5 - 1
    classes = model.config.num_class_embeds
    if classes is None:
        return x0, None
    withheld = torch.rand(len(pick)) < recipe["label_drop"]
    # The last row of the table stands for "no class".
    return x0, torch.where(withheld, classes - 1, labels[pick].long())


def main():
    parser = argparse.ArgumentParser(description="Go on training with a folder of `convert`.")
    parser.add_argument("folder")
    parser.add_argument("--images", required=True, help=".npz with arr_0 and, with classes, arr_1")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accelerate", action="store_true")
    options = parser.parse_args()

    model, average, scheduler, optimizer, state = load(options.folder)
    recipe = state["recipe"]
    if recipe["loss"] != "simple":
        parser.error(f"this script has the simple loss only, and the run has {recipe['loss']}")
    arrays = np.load(options.images)
    images = torch.from_numpy(arrays["arr_0"])
    labels = torch.from_numpy(arrays["arr_1"]) if "arr_1" in arrays else None
    torch.manual_seed(options.seed)
    network, device, backward = model.train(), "cpu", lambda loss: loss.backward()
    if options.accelerate:
        from accelerate import Accelerator

        accelerator = Accelerator()
        network, optimizer = accelerator.prepare(model, optimizer)
        device, backward = accelerator.device, accelerator.backward
        average.to(device)

    for step in range(state["step"] + 1, state["step"] + options.steps + 1):
        x0, classes = examples(images, labels, model, recipe)
        x0, classes = x0.to(device), None if classes is None else classes.to(device)
        noise = torch.randn_like(x0)
        t = torch.randint(scheduler.config.num_train_timesteps, (len(x0),), device=device)
        target = {
            "epsilon": lambda: noise,
            "v_prediction": lambda: scheduler.get_velocity(x0, noise, t),
            "sample": lambda: x0,
        }[scheduler.config.prediction_type]()
        output = network(scheduler.add_noise(x0, noise, t), t, class_labels=classes).sample
        loss = torch.nn.functional.mse_loss(output, target)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.zero_grad()
        backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["max_grad_norm"])
        optimizer.step()
        # A young average forgets its random start sooner.
        decay = min(recipe["ema_decay"], (1 + step) / (10 + step))
        for mean, parameter in zip(average.parameters(), model.parameters()):
            mean.lerp_(parameter.detach(), 1 - decay)
        state["step"] = step
        print(f"step {step}  loss {loss.item():.4f}", flush=True)

    save(options.folder, model, average, getattr(optimizer, "optimizer", optimizer), state)


if __name__ == "__main__":
    main()
