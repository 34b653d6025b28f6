"""A candidate for `verify`, from the papers' formulas: JSON lines on standard input and output.

--float32 computes everything in float32, tables as cumulative products included; --cast has tables in
double and steps in float32. --fault NAME plants one mistake; --list-faults prints all with the
operation that shows each. --without a,b answers `unsupported` for option values.
"""

import ctypes
import json
import math
import sys

import unet as network

FLAGS = {"fault": None, "without": ""}
ARGS = sys.argv[1:]
for flag in ("fault", "without"):
    if "--" + flag in ARGS:
        FLAGS[flag] = ARGS[ARGS.index("--" + flag) + 1]
FLOAT32 = "--float32" in ARGS or "--cast" in ARGS
CAST = "--cast" in ARGS
FAULTS = {}


def fault(name, op):
    """Whether the mistake `name`, which shows in `op`, is planted."""
    FAULTS[name] = op
    return FLAGS["fault"] == name


class F32(float):
    """A float32: every operation rounds."""

    __slots__ = ()

    def __add__(self, other):
        return single(float.__add__(self, other))

    def __sub__(self, other):
        return single(float.__sub__(self, other))

    def __mul__(self, other):
        return single(float.__mul__(self, other))

    def __truediv__(self, other):
        return single(float.__truediv__(self, other))

    def __radd__(self, other):
        return single(float(other) + float(self))

    def __rsub__(self, other):
        return single(float(other) - float(self))

    def __rmul__(self, other):
        return single(float(other) * float(self))

    def __rtruediv__(self, other):
        return single(float(other) / float(self))

    def __neg__(self):
        return F32(float.__neg__(self))

    def __abs__(self):
        return F32(float.__abs__(self))


def single(x):
    return F32(ctypes.c_float(x).value)


R = single if FLOAT32 else float  # numbers of tensors
C = single if FLOAT32 and not CAST else float  # numbers of tables


def like(x, y):
    return single(y) if isinstance(x, F32) else y


def sqrt(x):
    return like(x, math.sqrt(max(x, 0.0)))


def exp(x):
    return like(x, math.exp(x) if x < 700 else math.inf)


def log(x):
    return like(x, math.log(x)) if x > 0 else -math.inf


def cos(x):
    return like(x, math.cos(x))


def logistic(x):
    return C(1) / (C(1) + exp(-x))


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


# Schedules


def linspace(start, end, count):
    n = count if fault("linear-endpoint", "schedule") else count - 1
    return [start + (end - start) * k / n if n > 0 else start for k in range(count)]


def betas_of(s):
    kind = s["kind"]
    if kind == "betas":
        return [C(b) for b in s["betas"]]
    T = s["T"]
    if kind in ("linear", "quadratic", "sigmoid"):
        start, end = C(s["betaStart"]), C(s["betaEnd"])
        if fault("beta-end-fourth-digit", "schedule"):
            end = end * 1.0003
        if kind == "linear":
            return linspace(start, end, T)
        if kind == "quadratic":
            return [b * b for b in linspace(sqrt(start), sqrt(end), T)]
        width = 5 if fault("sigmoid-width", "schedule") else 6
        return [start + (end - start) * logistic(u) for u in linspace(C(-width), C(width), T)]
    if kind == "constant":
        return [C(s["beta"])] * T
    if kind == "inverse":
        return [C(1) / (T - k + (1 if fault("inverse-offset", "schedule") else 0)) for k in range(T)]
    if kind == "cosine":
        offset = C(0.0081 if fault("cosine-offset", "schedule") else s["s"])

        def bar(k):
            c = cos((C(k) / T + offset) / (1 + offset) * C(math.pi) / 2)
            return c * c

    else:
        start, end, tau = C(s["start"]), C(s["end"]), C(s["tau"])

        def bar(k):
            u = C(k) / T
            top, bottom = logistic(end / tau), logistic(start / tau)
            return (top - logistic((u * (end - start) + start) / tau)) / (top - bottom)

    cap = C(0.99 if fault("cap", "schedule") and s["maxBeta"] > 0.99 else s["maxBeta"])
    return [min(1 - bar(k + 1) / bar(k), cap) for k in range(T)]


class Process:
    def __init__(self, s):
        beta = betas_of(s)
        if fault("half-tables", "schedule"):
            beta = [C(round(float(b) * 2**14) / 2**14 or 2**-14) for b in beta]
        original = beta
        if s.get("zeroTerminalSnr") and not fault("zero-snr-ignored", "schedule"):
            roots, product = [], C(1)
            for b in beta:
                product = product * (1 - b)
                roots.append(sqrt(product))
            first, last = roots[0], roots[-1]
            shifted = [(r - last) * first / (first - last) for r in roots]
            bars = [r * r for r in shifted]
            beta = [beta[0]] + [1 - bars[k] / bars[k - 1] for k in range(1, len(bars))]
        alpha_bar, product = [], C(1)
        for b in beta:
            product = product * (1 - b)
            alpha_bar.append(product)
        self.T = len(beta)
        self.times = s.get("keep") or list(range(1, self.T + 1))
        if s.get("keep") is None:
            self.beta, self.alpha, self.bar = beta, [1 - b for b in beta], alpha_bar
        else:
            self.bar = [alpha_bar[t - 1] for t in self.times]
            before = [C(1)] + self.bar[:-1]
            self.alpha = [a / b for a, b in zip(self.bar, before)]
            self.beta = [1 - a for a in self.alpha]
            if fault("respaced-beta", "ddpm_step"):
                self.beta = [beta[t - 1] for t in self.times]
        self.noise = [1 - a for a in self.bar]
        n = len(self.times)
        self.tilde = [C(0)] + [self.noise[k - 1] / self.noise[k] * self.beta[k] for k in range(1, n)]
        first = self.tilde[1] if n > 1 else self.beta[0]
        if fault("log-variance-1e-20", "q_posterior"):
            first = C(1e-20)
        self.log_tilde = [log(first)] + [log(v) for v in self.tilde[1:]]
        self.coef_x0 = [sqrt(self.bar_before(k)) * self.beta[k] / self.noise[k] for k in range(n)]
        self.coef_xt = [
            sqrt(self.alpha[k]) * self.noise_before(k) / self.noise[k] for k in range(n)
        ]

    def bar_before(self, k):
        return self.bar[k - 1] if k > 0 else C(1)

    def noise_before(self, k):
        return self.noise[k - 1] if k > 0 else C(0)

    def index(self, t):
        if fault("zero-based-t", "q_sample"):
            return min(self.times.index(t) + 1, len(self.times) - 1)
        return self.times.index(t)

    def level(self, t):
        if t == 0:
            return C(1), C(0)
        if t == self.T + 1:
            return C(0), C(1)
        k = self.index(t)
        return self.bar[k], self.noise[k]


CACHE = {}


def process(request):
    key = json.dumps(request["schedule"])
    if key not in CACHE:
        if len(CACHE) > 100:
            CACHE.clear()
        CACHE[key] = Process(request["schedule"])
    return CACHE[key]


# Tensors


class Batch:
    """The samples of a tensor [N, ...]."""

    def __init__(self, tensor):
        self.shape = tensor["shape"]
        self.N = self.shape[0]
        data = [R(v) for v in tensor["data"]]
        self.D = len(data) // self.N
        self.samples = [data[n * self.D : (n + 1) * self.D] for n in range(self.N)]


def tensor(shape, samples):
    return {"shape": shape, "data": [float(v) for sample in samples for v in sample]}


def per_sample(value, N):
    return value if isinstance(value, list) else [value] * N


# Operations


def schedule(request):
    p = process(request)
    numbers = lambda table: [float(v) for v in table]
    infinite = lambda table: [v if math.isfinite(v) else "Infinity" for v in numbers(table)]
    return {
        "timesteps": p.times,
        "beta": numbers(p.beta),
        "alpha": numbers(p.alpha),
        "alphaBar": numbers(p.bar),
        "betaTilde": numbers(p.tilde),
        "logBetaTildeClipped": numbers(p.log_tilde),
        "posteriorCoefX0": numbers(p.coef_x0),
        "posteriorCoefXt": numbers(p.coef_xt),
        "sqrtAlphaBar": numbers([sqrt(v) for v in p.bar]),
        "sqrtOneMinusAlphaBar": numbers([sqrt(v) for v in p.noise]),
        "snr": infinite([a / n for a, n in zip(p.bar, p.noise)]),
    }


def round_ratio(a, b):
    if fault("half-up", "timesteps"):
        return (2 * a + b) // (2 * b)
    whole, rest = divmod(a, b)
    if 2 * rest == b:
        return whole + whole % 2
    return whole + (2 * rest > b)


def timesteps(request):
    T, spacing = request["T"], request["spacing"]
    steps = request["steps"]
    if spacing == "leading":
        offset = 0 if fault("leading-from-0", "timesteps") else 1
        times = [offset + i * (T // steps) for i in range(steps)]
        if fault("leading-overruns", "timesteps"):
            times = list(range(1, T + 1, T // steps))
    elif spacing == "trailing":
        times = [round_ratio(i * T, steps) for i in range(1, steps + 1)]
    elif spacing == "linspace":
        times = [1 + round_ratio(i * (T - 1), steps - 1) for i in range(steps)] if steps > 1 else [1]
    elif spacing == "quadratic":
        times = [1]
        if steps > 1:
            times = sorted({1 + 4 * T * i * i // (5 * (steps - 1) ** 2) for i in range(steps)})
    elif spacing == "stride":
        stride = next((s for s in range(1, T + 1) if len(range(0, T, s)) == steps), None)
        if stride is None:
            raise Refused("invalid_argument", "no such stride")
        times = list(range(1, T + 1, stride))
    else:
        counts = request.get("sections") or [steps]
        short, longer = divmod(T, len(counts))
        times, start = [], 1
        for k, count in enumerate(counts):
            size = short + (k < longer)
            stride = (size - 1) / (count - 1) if count > 1 else 1
            position = 0.0
            for _ in range(count):
                times.append(start + round(position))
                position += stride
            start += size
    return {"timesteps": times[::-1]}


def mix(request, first, second, coefficients):
    p, x, y = process(request), Batch(request[first]), Batch(request[second])
    out = []
    for n, t in enumerate(per_sample(request["t"], x.N)):
        a, b = (R(c) for c in coefficients(p, p.index(t)))
        out.append([a * xi + b * yi for xi, yi in zip(x.samples[n], y.samples[n])])
    return tensor(x.shape, out)


def q_step(request):
    def coefficients(p, k):
        if fault("step-of-alpha-bar", "q_step"):
            return sqrt(p.bar[k]), sqrt(p.beta[k])
        if fault("step-variance", "q_step"):
            return sqrt(p.alpha[k]), p.beta[k]
        return sqrt(p.alpha[k]), sqrt(p.beta[k])

    return {"x": mix(request, "xPrev", "noise", coefficients)}


def q_sample(request):
    def coefficients(p, k):
        if fault("no-root", "q_sample"):
            return p.bar[k], sqrt(p.noise[k])
        if fault("noise-not-rooted", "q_sample"):
            return sqrt(p.bar[k]), p.noise[k]
        return sqrt(p.bar[k]), sqrt(p.noise[k])

    return {"x": mix(request, "x0", "noise", coefficients)}


def q_mean_variance(request):
    p, x = process(request), Batch(request["x0"])
    ks = [p.index(t) for t in per_sample(request["t"], x.N)]
    variance = [p.noise[k] for k in ks]
    if fault("deviation-for-variance", "q_mean_variance"):
        variance = [sqrt(v) for v in variance]
    return {
        "mean": tensor(x.shape, [[R(sqrt(p.bar[k])) * v for v in s] for k, s in zip(ks, x.samples)]),
        "variance": [float(v) for v in variance],
        "logVariance": [float(log(p.noise[k])) for k in ks],
    }


def q_posterior(request):
    p, x = process(request), Batch(request["x0"])
    ks = [p.index(t) for t in per_sample(request["t"], x.N)]

    def coefficients(p, k):
        if fault("posterior-swapped", "q_posterior"):
            return p.coef_xt[k], p.coef_x0[k]
        if fault("posterior-alpha-bar", "q_posterior"):
            return p.coef_x0[k], sqrt(p.bar[k]) * p.noise_before(k) / p.noise[k]
        return p.coef_x0[k], p.coef_xt[k]

    variance = [p.beta[k] if fault("beta-for-tilde", "q_posterior") else p.tilde[k] for k in ks]
    return {
        "mean": mix(request, "x0", "xt", coefficients),
        "variance": [float(v) for v in variance],
        "logVarianceClipped": [float(p.log_tilde[k]) for k in ks],
    }


def x0_of(kind, p, k, x, value):
    signal, noise = R(sqrt(p.bar[k])), R(sqrt(p.noise[k]))
    if kind in ("epsilon", "score") and p.bar[k] == 0:
        raise Refused("invalid_argument", "undefined at alphaBar = 0")
    if kind == "epsilon":
        return (x - noise * value) / signal
    if kind == "v":
        sign = -1 if fault("v-sign", "convert") else 1
        return signal * x - sign * noise * value
    if kind == "score":
        return (x + R(p.noise[k]) * value) / signal
    if kind == "previousX":
        return (value - R(p.coef_xt[k]) * x) / R(p.coef_x0[k])
    return value


def epsilon_of_x0(p, k, x, x0):
    return (x - R(sqrt(p.bar[k])) * x0) / R(sqrt(p.noise[k]))


def epsilon_of(kind, p, k, x, value):
    if kind == "epsilon":
        return value
    if kind == "v":
        sign = -1 if fault("v-sign", "convert") else 1
        return R(sqrt(p.bar[k])) * value * sign + R(sqrt(p.noise[k])) * x
    if kind == "score":
        sign = 1 if fault("score-sign", "convert") else -1
        return sign * R(sqrt(p.noise[k])) * value
    return epsilon_of_x0(p, k, x, x0_of(kind, p, k, x, value))


def mean_of(p, k, x0, x):
    return R(p.coef_x0[k]) * x0 + R(p.coef_xt[k]) * x


def convert(request):
    p, xt, values = process(request), Batch(request["xt"]), Batch(request["value"])
    source, target = request["from"], request["to"]
    out = []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        k = p.index(t)
        row = []
        for x, value in zip(xt.samples[n], values.samples[n]):
            if source == target:
                row.append(value)
            elif target == "x0":
                row.append(x0_of(source, p, k, x, value))
            elif target == "epsilon":
                row.append(epsilon_of(source, p, k, x, value))
            elif target == "score":
                noise = R(p.noise[k] if fault("score-variance", "convert") else sqrt(p.noise[k]))
                row.append(-epsilon_of(source, p, k, x, value) / noise)
            elif target == "v":
                epsilon = epsilon_of(source, p, k, x, value)
                x0 = x0_of(source, p, k, x, value)
                row.append(R(sqrt(p.bar[k])) * epsilon - R(sqrt(p.noise[k])) * x0)
            else:
                row.append(mean_of(p, k, x0_of(source, p, k, x, value), x))
        out.append(row)
    return {"value": tensor(xt.shape, out)}


def clamp(x, low, high):
    return min(max(x, low), high)


def quantile(values, q):
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    if fault("quantile-of-n", "p_mean_variance"):
        position = min(q * len(ordered), len(ordered) - 1)
    below = math.floor(position)
    if fault("quantile-nearest", "p_mean_variance"):
        return ordered[below]
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + R(position - below) * (ordered[above] - ordered[below])


def clip_sample(x0, clip):
    if clip is None or fault("never-clipped", "p_mean_variance"):
        return x0
    if clip["kind"] == "static":
        limit = R(1 if fault("range-ignored", "p_mean_variance") else clip["range"])
        return [clamp(v, -limit, limit) for v in x0]
    s = clamp(quantile([abs(v) for v in x0], clip["quantile"]), R(1), R(clip["max"]))
    if fault("dynamic-undivided", "p_mean_variance"):
        return [clamp(v, -s, s) for v in x0]
    return [clamp(v, -s, s) / s for v in x0]


def split(request, xt):
    output = Batch(request["modelOutput"])
    if not request.get("variance", "").startswith("learned"):
        return output.samples, None
    if fault("halves-swapped", "p_mean_variance"):
        return [s[xt.D :] for s in output.samples], [s[: xt.D] for s in output.samples]
    return [s[: xt.D] for s in output.samples], [s[xt.D :] for s in output.samples]


def log_variance(variance, p, k, raw):
    if variance == "beta":
        if k == 0 and not fault("real-beta-1", "p_mean_variance"):
            return R(p.log_tilde[0])
        return R(log(p.beta[k]))
    if variance == "betaTilde":
        return R(p.log_tilde[k])
    if variance == "learned":
        return raw
    fraction = raw if fault("range-unscaled", "p_mean_variance") else (raw + 1) / 2
    if fault("range-clamped", "p_mean_variance"):
        fraction = clamp(fraction, R(0), R(1))
    top, bottom = R(log(p.beta[k])), R(p.log_tilde[k])
    if fault("range-swapped", "p_mean_variance"):
        top, bottom = bottom, top
    return fraction * top + (1 - fraction) * bottom


def moments(request):
    """Per sample: mean, variance, log-variance, clipped x0."""
    p, xt = process(request), Batch(request["xt"])
    outputs, raws = split(request, xt)
    prediction, variance = request["prediction"], request["variance"]
    result = []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        k, x = p.index(t), xt.samples[n]
        x0 = [x0_of(prediction, p, k, xi, v) for xi, v in zip(x, outputs[n])]
        x0 = clip_sample(x0, request.get("clip"))
        if prediction == "previousX" and not fault("previous-clipped", "p_mean_variance"):
            mean = outputs[n]
        else:
            mean = [mean_of(p, k, a, b) for a, b in zip(x0, x)]
        if fault("mean-ignores-clip", "p_mean_variance") and prediction == "epsilon":
            raw = [x0_of(prediction, p, k, xi, v) for xi, v in zip(x, outputs[n])]
            mean = [mean_of(p, k, a, b) for a, b in zip(raw, x)]
        logs = [log_variance(variance, p, k, raws[n][i] if raws else None) for i in range(xt.D)]
        if variance == "betaTilde":
            sigma2 = [R(p.tilde[k])] * xt.D
        else:
            sigma2 = [exp(v) for v in logs]
        result.append((mean, sigma2, logs, x0))
    return p, xt, result


def p_mean_variance(request):
    _, xt, parts = moments(request)
    names = ("mean", "variance", "logVariance", "x0")
    return {name: tensor(xt.shape, [part[i] for part in parts]) for i, name in enumerate(names)}


def ddpm_step(request):
    p, xt, parts = moments(request)
    z = Batch(request["z"])
    out = []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        mean, _, logs, _ = parts[n]
        noisy = p.index(t) > 0 or bool(request.get("finalNoise", False))
        if fault("noise-at-the-end", "ddpm_step"):
            noisy = True
        if fault("noise-by-time-1", "ddpm_step"):
            noisy = t > 1 or bool(request.get("finalNoise", False))
        half = 1 if fault("variance-as-deviation", "ddpm_step") else R(0.5)
        sigma = [exp(half * v) if noisy else R(0) for v in logs]
        out.append([m + s * zi for m, s, zi in zip(mean, sigma, z.samples[n])])
    return {"x": tensor(xt.shape, out), "x0": tensor(xt.shape, [part[3] for part in parts])}


def read(request, p, xt, output, k, n):
    """Clipped x0 and epsilon of sample n."""
    x, prediction = xt.samples[n], request["prediction"]
    if prediction == "previousX":
        raise Refused("invalid_argument", "no epsilon in previousX")
    x0 = [x0_of(prediction, p, k, xi, v) for xi, v in zip(x, output.samples[n])]
    x0 = clip_sample(x0, request.get("clip"))
    rederive = request["rederiveEpsilon"]
    if fault("epsilon-kept", "ddim_step"):
        rederive = False
    if fault("epsilon-always-rederived", "ddim_step"):
        rederive = True
    if rederive:
        return x0, [epsilon_of_x0(p, k, xi, v) for xi, v in zip(x, x0)]
    return x0, [epsilon_of(prediction, p, k, xi, v) for xi, v in zip(x, output.samples[n])]


def ddim_step(request):
    p, xt = process(request), Batch(request["xt"])
    output, z = Batch(request["modelOutput"]), Batch(request["z"])
    ends = per_sample(request["tPrev"], xt.N)
    out, x0s = [], []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        k = p.index(t)
        x0, epsilon = read(request, p, xt, output, k, n)
        end = ends[n]
        if fault("next-lower-time", "ddim_step"):
            end = p.times[k - 1] if k > 0 else 0
        bar, noise = p.level(end)
        if end == 0 and not fault("final-alpha-bar-ignored", "ddim_step"):
            bar = C(request["finalAlphaBar"])
            noise = 1 - bar
        eta = C(request["eta"])
        sigma = eta * sqrt(noise / p.noise[k]) * sqrt(1 - p.bar[k] / bar)
        if fault("eta-rooted", "ddim_step"):
            sigma = sqrt(eta) * sqrt(noise / p.noise[k]) * sqrt(1 - p.bar[k] / bar)
        if fault("sigma-without-ratio", "ddim_step"):
            sigma = eta * sqrt(1 - p.bar[k] / bar)
        share = noise if fault("direction-without-sigma", "ddim_step") else noise - sigma * sigma
        a, b, s = R(sqrt(bar)), R(sqrt(share)), R(sigma)
        out.append([a * u + b * v + s * w for u, v, w in zip(x0, epsilon, z.samples[n])])
        x0s.append(x0)
    return {"x": tensor(xt.shape, out), "x0": tensor(xt.shape, x0s)}


def ddim_encode_step(request):
    p, xt, output = process(request), Batch(request["xt"]), Batch(request["modelOutput"])
    ends = per_sample(request["tNext"], xt.N)
    out = []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        x0, epsilon = read(request, p, xt, output, p.index(t), n)
        bar, noise = p.level(ends[n])
        if fault("encode-ends-at-T", "ddim_encode_step") and ends[n] > p.T:
            bar, noise = p.bar[-1], p.noise[-1]
        a, b = R(sqrt(bar)), R(sqrt(noise))
        out.append([a * u + b * v for u, v in zip(x0, epsilon)])
    return {"x": tensor(xt.shape, out)}


def solver_lambda(level):
    scale = 1 if fault("lambda-unhalved", "dpm_solver_step") else C(0.5)
    return scale * (log(level[0]) - log(level[1]))


def dpm_solver_step(request):
    p, xt, output = process(request), Batch(request["xt"]), Batch(request["modelOutput"])
    order = request["order"]
    past = request["history"][: order - 1]
    ends = per_sample(request["tPrev"], xt.N)
    request = {**request, "rederiveEpsilon": True}
    out, x0s = [], []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        k = p.index(t)
        x0, _ = read(request, p, xt, output, k, n)
        x0s.append(x0)
        if ends[n] == 0:
            out.append(x0)
            continue
        level, end = p.level(t), p.level(ends[n])
        here = solver_lambda(level)
        h = solver_lambda(end) - here
        signal, phi1 = sqrt(end[0]), 1 - exp(-h)
        ratio = R(sqrt(end[1]) / sqrt(level[1]))
        older = [Batch(entry["x0"]).samples[n] for entry in past]
        marks = [here] + [solver_lambda(p.level(per_sample(e["t"], xt.N)[n])) for e in past]
        r = [R((marks[i] - marks[i + 1]) / h) for i in range(len(past))]
        row = []
        for i, x in enumerate(xt.samples[n]):
            value = ratio * x + R(signal * phi1) * x0[i]
            if order >= 2:
                d1 = (x0[i] - older[0][i]) / r[0]
                if order == 2:
                    half = 1 if fault("solver-unhalved", "dpm_solver_step") else R(0.5)
                    value = value + half * R(signal * phi1) * d1
                else:
                    d2 = (older[0][i] - older[1][i]) / r[1]
                    slope = d1 + r[0] / (r[0] + r[1]) * (d1 - d2)
                    bend = (d1 - d2) / (r[0] + r[1])
                    phi2 = 1 - phi1 / h
                    phi3 = phi2 / h - C(0.5)
                    value = value + R(signal * phi2) * slope - R(signal * phi3) * bend
            row.append(value)
        out.append(row)
    return {"x": tensor(xt.shape, out), "x0": tensor(xt.shape, x0s)}


def deviation(values):
    mean = sum(values, R(0)) / len(values)
    return sqrt(sum(((v - mean) * (v - mean) for v in values), R(0)) / (len(values) - 1))


def guide(request):
    c, u = Batch(request["conditional"]), Batch(request["unconditional"])
    s, phi = R(request["scale"]), R(request["rescale"])
    if fault("guide-w", "guide"):
        s = s + 1
    out = [[b + s * (a - b) for a, b in zip(x, y)] for x, y in zip(c.samples, u.samples)]
    if phi != 0 and fault("guide-batch", "guide"):
        flat = lambda rows: [v for row in rows for v in row]
        factor = phi * (deviation(flat(c.samples)) / deviation(flat(out))) + (1 - phi)
        out = [[factor * v for v in row] for row in out]
    elif phi != 0:
        for n, row in enumerate(out):
            ratio = deviation(c.samples[n]) / deviation(row)
            if fault("guide-inverted", "guide"):
                ratio = 1 / ratio
            out[n] = [phi * (v * ratio) + (1 - phi) * v for v in row]
    return {"value": tensor(c.shape, out)}


def squares(epsilon, estimate, weights):
    total, count = R(0), epsilon.N * epsilon.D
    gradient = []
    for n in range(epsilon.N):
        errors = [b - a for a, b in zip(epsilon.samples[n], estimate.samples[n])]
        w = R(weights[n])
        total = total + sum((w * (e * e) for e in errors), R(0))
        two = 1 if fault("gradient-without-2", "loss_simple") else 2
        gradient.append([two * w * e / count for e in errors])
    mean = total / (epsilon.N if fault("mean-over-batch", "loss_simple") else count)
    return {
        "mean": float(mean),
        "sum": float(total),
        "gradient": tensor(epsilon.shape, gradient),
    }


def loss_simple(request):
    epsilon = Batch(request["epsilon"])
    return squares(epsilon, Batch(request["epsilonHat"]), [1] * epsilon.N)


def vlb_weight(request, p, k):
    if "sigma2" in request:
        sigma2 = C(request["sigma2"])
    else:
        sigma2 = p.beta[k] if request["variance"] == "beta" else p.tilde[k]
    two = 1 if fault("weight-without-half", "loss_weight") else 2
    alpha = p.bar[k] if fault("weight-of-alpha-bar", "loss_weight") else p.alpha[k]
    bottom = two * sigma2 * alpha * p.noise[k]
    return p.beta[k] * p.beta[k] / bottom if bottom != 0 else math.inf


def loss_weight(request):
    p = process(request)

    def w(t):
        value = float(vlb_weight(request, p, p.index(t)))
        return value if math.isfinite(value) else "Infinity"

    t = request["t"]
    return {"w": [w(v) for v in t] if isinstance(t, list) else w(t)}


def loss_weighted(request):
    p, epsilon = process(request), Batch(request["epsilon"])
    weights = []
    for t in per_sample(request["t"], epsilon.N):
        k = p.index(t)
        snr = p.bar[k] / p.noise[k]
        if request["weighting"] == "vlb":
            weights.append(vlb_weight(request, p, k))
        elif request["weighting"] == "minSnr":
            gamma = C(request["gamma"])
            top = max(snr, gamma) if fault("max-snr", "loss_weighted") else min(snr, gamma)
            weights.append(top / snr)
        elif request["weighting"] == "p2":
            power = request["p2Gamma"]
            if fault("p2-sign", "loss_weighted"):
                power = -power
            base = C(request["p2K"]) + snr
            weights.append(like(base, math.pow(base, -power)))
        else:
            weights.append(C(1))
    if any(not math.isfinite(w) for w in weights):
        raise Refused("invalid_argument", "infinite weight")
    if fault("weights-averaged", "loss_weighted"):
        weights = [sum(weights) / len(weights)] * len(weights)
    return squares(epsilon, Batch(request["epsilonHat"]), weights)


def kl(mean1, log1, mean2, log2):
    if fault("kl-swapped", "normal_kl"):
        mean1, log1, mean2, log2 = mean2, log2, mean1, log1
    half = 1 if fault("kl-without-half", "normal_kl") else R(0.5)
    d = mean1 - mean2
    return half * (-1 + log2 - log1 + exp(log1 - log2) + d * d * exp(-log2))


def normal_kl(request):
    parts = [Batch(request[n]) for n in ("mean1", "logVariance1", "mean2", "logVariance2")]
    rows = [[kl(*four) for four in zip(*(b.samples[n] for b in parts))] for n in range(parts[0].N)]
    return {"kl": tensor(parts[0].shape, rows)}


def phi(x, cdf):
    if fault("cdf-swapped", "decoder_nll"):
        cdf = "erf" if cdf == "tanh" else "tanh"
    if cdf == "erf":
        return like(x, math.erfc(-x / math.sqrt(2)) / 2)
    cubic = R(0.0447 if fault("tanh-constant", "decoder_nll") else 0.044715)
    inner = R(math.sqrt(2 / math.pi)) * (x + cubic * (x * x * x))
    return R(0.5) * (1 + like(x, math.tanh(inner)))


def decoder(x0, mean, log_scale, cdf):
    half = R(1 / 256 if fault("half-bin-256", "decoder_nll") else 1 / 255)
    inverse = exp(-log_scale)
    upper, lower = inverse * (x0 - mean + half), inverse * (x0 - mean - half)
    edges = not fault("no-edges", "decoder_nll")
    top = R(1) if edges and x0 > 0.999 else phi(upper, cdf)
    bottom = R(0) if edges and x0 < -0.999 else phi(lower, cdf)
    # In the upper half by symmetry, in double, where 1 − Φ would lose what counts.
    p = top - bottom
    if not FLOAT32 and lower > 0 and not (edges and x0 < -0.999):
        p = phi(-lower, cdf) - (0 if edges and x0 > 0.999 else phi(-upper, cdf))
    floor = 1e-10 if fault("floor", "decoder_nll") else 1e-12
    return -log(max(p, R(floor)))


def decoder_nll(request):
    parts = [Batch(request[n]) for n in ("x0", "mean", "logScale")]
    rows = [
        [decoder(*three, request["cdf"]) for three in zip(*(b.samples[n] for b in parts))]
        for n in range(parts[0].N)
    ]
    return {"nll": tensor(parts[0].shape, rows)}


def bits(nats):
    total = sum(nats, R(0))
    if fault("nats", "vlb_term"):
        return float(total / len(nats))
    if fault("bits-summed", "vlb_term"):
        return float(total / R(math.log(2)))
    return float(total / len(nats) / R(math.log(2)))


def vlb_term(request):
    p, xt, parts = moments(request)
    x0 = Batch(request["x0"])
    out = []
    for n, t in enumerate(per_sample(request["t"], xt.N)):
        k = p.index(t)
        mean, _, logs, _ = parts[n]
        pixels = x0.samples[n]
        if k == 0 and not fault("kl-at-first", "vlb_term"):
            half = 1 if fault("decoder-variance", "vlb_term") else R(0.5)
            nats = [decoder(x, m, half * v, request["cdf"]) for x, m, v in zip(pixels, mean, logs)]
        else:
            true = [mean_of(p, k, a, b) for a, b in zip(pixels, xt.samples[n])]
            nats = [kl(a, R(p.log_tilde[k]), b, v) for a, b, v in zip(true, mean, logs)]
        out.append(bits(nats))
    return {"bitsPerDim": out}


def prior_kl(request):
    p, x0 = process(request), Batch(request["x0"])
    k = -2 if fault("prior-one-early", "prior_kl") and len(p.times) > 1 else -1
    signal, variance = R(sqrt(p.bar[k])), R(log(p.noise[k]))
    return {
        "bitsPerDim": [bits([kl(signal * v, variance, R(0), R(0)) for v in s]) for s in x0.samples]
    }


def time_embedding(request):
    dim, shift, period = request["dim"], request["shift"], C(request["maxPeriod"])
    times = request["timesteps"] if isinstance(request["timesteps"], list) else [request["timesteps"]]
    half = dim // 2
    if fault("shift-ignored", "time_embedding"):
        shift = 1
    rows = []
    for t in times:
        angles = [C(t) * exp(-log(period) * i / (half - shift)) for i in range(half)]
        sines, cosines = [like(a, math.sin(a)) for a in angles], [cos(a) for a in angles]
        order = request["order"]
        if fault("order-swapped", "time_embedding"):
            order = "sinCos"
        row = sines + cosines if order == "sinCos" else cosines + sines
        rows.append(row + [C(0)] * (dim % 2))
    return {"embedding": tensor([len(times), dim], rows)}


def unet(request):
    return network.unet(request, sys.modules[__name__])


def adam_step(request):
    beta1, beta2, step = C(request["beta1"]), C(request["beta2"]), request["step"]
    lr, eps, decay = R(request["lr"]), R(request["eps"]), R(request["weightDecay"])
    if fault("bias-off-by-one", "adam_step"):
        step += 1
    c1, c2 = R(1 - like(beta1, math.pow(beta1, step))), R(1 - like(beta2, math.pow(beta2, step)))
    r1, r2, b1, b2 = R(1 - beta1), R(1 - beta2), R(beta1), R(beta2)
    fields = [[R(v) for v in request[n]["data"]] for n in ("params", "grad", "m", "v")]
    out = {"params": [], "m": [], "v": []}
    decoupled = request["decoupled"]
    if fault("decay-coupled", "adam_step"):
        decoupled = False
    for theta, g, m, v in zip(*fields):
        if not decoupled:
            g = g + decay * theta
        m, v = b1 * m + r1 * g, b2 * v + r2 * (g * g)
        if fault("eps-inside", "adam_step"):
            bottom = sqrt(v / c2 + eps)
        elif fault("eps-before-correction", "adam_step"):
            bottom = (sqrt(v) + eps) / sqrt(c2)
        else:
            bottom = sqrt(v / c2) + eps
        if decoupled:
            theta = theta - lr * decay * theta
        out["params"].append(theta - lr * (m / c1) / bottom)
        out["m"].append(m)
        out["v"].append(v)
    return {name: tensor(request[name]["shape"], [values]) for name, values in out.items()}


def ema_step(request):
    decay = C(request["decay"])
    keep, rest = R(decay), R(1 - decay)
    if fault("ema-swapped", "ema_step"):
        keep, rest = rest, keep
    pairs = zip(request["ema"]["data"], request["params"]["data"])
    return {"ema": tensor(request["ema"]["shape"], [[keep * R(a) + rest * R(b) for a, b in pairs]])}


def clip_grad_norm(request):
    grads = [[R(v) for v in g["data"]] for g in request["grads"]]
    total = sqrt(sum((v * v for g in grads for v in g), R(0)))
    constant = 0 if fault("norm-without-1e-6", "clip_grad_norm") else R(1e-6)
    factors = [min(R(1), R(request["maxNorm"]) / (total + constant))] * len(grads)
    if fault("norm-per-tensor", "clip_grad_norm"):
        norms = [sqrt(sum((v * v for v in g), R(0))) for g in grads]
        factors = [min(R(1), R(request["maxNorm"]) / (norm + constant)) for norm in norms]
    scaled = [[f * v for v in g] for f, g in zip(factors, grads)]
    shapes = [g["shape"] for g in request["grads"]]
    return {"grads": [tensor(s, [g]) for s, g in zip(shapes, scaled)], "norm": float(total)}


def philox(counter, key):
    rounds = 9 if fault("nine-rounds", "random_bits") else 10
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (p1 >> 32) ^ c1 ^ k0,
            p1 & 0xFFFFFFFF,
            (p0 >> 32) ^ c3 ^ k1,
            p0 & 0xFFFFFFFF,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def halves(x):
    return x & 0xFFFFFFFF, x >> 32


def block(request, number):
    return philox(halves(number) + halves(request["stream"]), halves(request["seed"]))


def random_bits(request):
    at = range(request["index"], request["index"] + request["count"])
    return {"integers": [block(request, i // 4)[i % 4] for i in at]}


def normal(request):
    values = []
    for i in range(request["index"], request["index"] + request["count"]):
        w = block(request, i // 2)
        uniform = lambda a, b: C((a * 2**20 + (b >> 12) + 0.5) / 2**52)
        radius = sqrt(-2 * log(uniform(w[0], w[1])))
        angle = C(2 * math.pi) * uniform(w[2], w[3])
        odd = i % 2 == 1
        if fault("normal-swapped", "normal"):
            odd = not odd
        values.append(float(radius * (like(angle, math.sin(angle)) if odd else cos(angle))))
    return {"values": values}


OPS = {
    f.__name__: f
    for f in (
        schedule, timesteps, q_step, q_sample, q_mean_variance, q_posterior, convert,
        p_mean_variance, ddpm_step, ddim_step, ddim_encode_step, dpm_solver_step, guide,
        loss_simple, loss_weight, loss_weighted, normal_kl, decoder_nll, vlb_term, prior_kl,
        time_embedding, unet, adam_step, ema_step, clip_grad_norm, random_bits, normal,
    )
}  # fmt: skip


DEFAULTS = {
    "ddim_step": {"rederiveEpsilon": True, "finalAlphaBar": 1},
    "ddim_encode_step": {"rederiveEpsilon": True},
    "minSnr": {"gamma": 5},
    "p2": {"p2K": 1, "p2Gamma": 1},
    "static": {"range": 1},
    "dynamic": {"quantile": 0.995, "max": 1},
    "cosine": {"s": 0.008, "maxBeta": 0.999},
}


def written_out(request):
    """A request with the options that are left to the protocol's defaults."""
    request = {**DEFAULTS.get(request["op"], {}), **DEFAULTS.get(request.get("weighting"), {}), **request}
    for name in ("clip", "schedule"):
        if request.get(name) is not None:
            request[name] = {**DEFAULTS.get(request[name]["kind"], {}), **request[name]}
    return request


def result(request):
    op = request["op"]
    if op == "hello":
        return {"protocol": 1, "name": "right.py", "version": "1", "ops": list(OPS)}
    without = set(filter(None, FLAGS["without"].split(",")))
    for value in request.values():
        if isinstance(value, str) and value in without and value != op:
            raise Refused("unsupported", "no " + value)
    return OPS[op](written_out(request))


def main():
    if "--list-faults" in ARGS:
        import re

        source = "".join(open(m.__file__, encoding="utf-8").read() for m in (sys.modules[__name__], network))
        for name, op in re.findall(r'fault\("([^"]+)", "([^"]+)"\)', source):
            FAULTS[name] = op
        print(json.dumps(FAULTS))
        return
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"]}
        try:
            answer.update(ok=True, result=result(request))
        except Refused as refusal:
            answer.update(ok=False, error={"code": refusal.code, "message": str(refusal)})
        print(json.dumps(answer), flush=True)


main()
