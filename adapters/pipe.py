"""The protocol's pipe and tensors, for adapters of implementations in PyTorch."""

import json
import sys

import torch


class Unsupported(Exception):
    """Raised for an option that the implementation does not have."""


def tensor(value):
    return torch.tensor(value["data"], dtype=torch.float32).reshape(value["shape"])


# The protocol's defaults, by the kind of a clip.
CLIPS = {"static": {"range": 1}, "dynamic": {"quantile": 0.995, "max": 1}}


def with_clip(request):
    """The request with its clip written out: one may leave fields of it out, or all of it."""
    clip = request.get("clip")
    return {**request, "clip": clip and {**CLIPS.get(clip["kind"], {}), **clip}}


def answer(value):
    return {"shape": list(value.shape), "data": value.double().flatten().tolist()}


def refusal(code, message):
    return {"ok": False, "error": {"code": code, "message": str(message)}}


def serve(name, ops):
    """Answers requests with the functions `ops`, each named as its operation, until the input ends."""
    torch.set_num_threads(1)
    by_name = {op.__name__: op for op in ops}
    hello = {"protocol": 1, "name": name, "version": f"torch {torch.__version__}", "ops": list(by_name)}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            op = request["op"]
            said = {"ok": True, "result": hello if op == "hello" else by_name[op](with_clip(request))}
        except Unsupported as reason:
            said = refusal("unsupported", reason)
        except Exception as error:  # What it refuses without need is for the report to say.
            said = refusal("internal", f"{type(error).__name__}: {error}")
        print(json.dumps({"id": request["id"], **said}), flush=True)
