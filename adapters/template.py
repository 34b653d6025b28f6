"""Your implementation, as `deno task verify` asks it. Copy this file and put your code in.

    deno task verify -- python3 adapters/template.py

It works as it is: `q_sample`, `q_posterior` and `loss_simple` of a linear schedule are right, and
whatever it does not have is reported as not covered. docs/protocol.md has all operations, docs/verify.md
what a report means. Only the standard library is used; yours may use what it likes.
"""

import json
import math
import sys


class Unsupported(Exception):
    """Raised for an option that your code does not have: it counts as not covered, not as wrong."""


# 1. YOUR CODE. Here it is some lines of plain Python; most likely you import it instead.


def linear_betas(T, start, end):
    return [start + (end - start) * k / max(T - 1, 1) for k in range(T)]


def cumulative_product(values):
    product, result = 1.0, []
    for value in values:
        product *= value
        result.append(product)
    return result


# 2. FROM A REQUEST TO YOUR ARGUMENTS. Times are 1..T here: subtract 1 if yours start at 0.


def betas_of(request):
    schedule = request["schedule"]
    for option in ("keep", "zeroTerminalSnr"):
        if schedule.get(option):
            raise Unsupported(option)
    if schedule["kind"] == "linear":
        return linear_betas(schedule["T"], schedule["betaStart"], schedule["betaEnd"])
    if schedule["kind"] == "betas":
        return schedule["betas"]
    raise Unsupported("schedule.kind " + schedule["kind"])


def times_of(request):
    """One time per sample; a request may have one for all."""
    t, shape = request["t"], next(v["shape"] for v in request.values() if is_tensor(v))
    return t if isinstance(t, list) else [t] * shape[0]


def is_tensor(value):
    return isinstance(value, dict) and "shape" in value


def samples_of(tensor):
    """A tensor's samples, each a flat list."""
    size = len(tensor["data"]) // tensor["shape"][0]
    return [tensor["data"][i : i + size] for i in range(0, len(tensor["data"]), size)]


def tensor_of(like, samples):
    return {"shape": like["shape"], "data": [value for sample in samples for value in sample]}


# 3. THE OPERATIONS: one function each, named as in docs/protocol.md.


def q_sample(request):
    alpha_bars = cumulative_product([1 - beta for beta in betas_of(request)])
    x = []
    for t, x0, noise in zip(
        times_of(request), samples_of(request["x0"]), samples_of(request["noise"])
    ):
        signal, sigma = math.sqrt(alpha_bars[t - 1]), math.sqrt(1 - alpha_bars[t - 1])
        x.append([signal * a + sigma * b for a, b in zip(x0, noise)])
    return {"x": tensor_of(request["x0"], x)}


def q_posterior(request):
    betas = betas_of(request)
    bars = [1.0] + cumulative_product([1 - beta for beta in betas])
    means, variances, logs = [], [], []
    for t, x0, xt in zip(times_of(request), samples_of(request["x0"]), samples_of(request["xt"])):
        beta, before, here = betas[t - 1], bars[t - 1], bars[t]
        first = math.sqrt(before) * beta / (1 - here)
        second = math.sqrt(1 - beta) * (1 - before) / (1 - here)
        means.append([first * a + second * b for a, b in zip(x0, xt)])
        variances.append((1 - before) / (1 - here) * beta)
        # The first step's variance is 0: its logarithm is that of the second step's.
        k = min(max(t, 2), len(betas))
        logs.append(math.log((1 - bars[k - 1]) / (1 - bars[k]) * betas[k - 1] if k > 1 else beta))
    mean = tensor_of(request["x0"], means)
    return {"mean": mean, "variance": variances, "logVarianceClipped": logs}


def loss_simple(request):
    wanted, got = request["epsilon"], request["epsilonHat"]
    errors = [b - a for a, b in zip(wanted["data"], got["data"])]
    total = sum(error * error for error in errors)
    gradient = {"shape": got["shape"], "data": [2 * error / len(errors) for error in errors]}
    return {"mean": total / len(errors), "sum": total, "gradient": gradient}


OPS = {"q_sample": q_sample, "q_posterior": q_posterior, "loss_simple": loss_simple}


# 4. THE PIPE. Print nothing else to standard output; standard error is yours.


def result_of(request):
    if request["op"] == "hello":
        return {"protocol": 1, "name": "template", "version": "1", "ops": list(OPS)}
    return OPS[request["op"]](request)


for line in sys.stdin:
    request = json.loads(line)
    answer = {"id": request["id"]}
    try:
        answer.update(ok=True, result=result_of(request))
    except Unsupported as reason:
        answer.update(ok=False, error={"code": "unsupported", "message": str(reason)})
    print(json.dumps(answer), flush=True)
