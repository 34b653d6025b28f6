"""An implementation tested against the reference: pytest adapters/test_with_oracle.py

The functions on top stand for yours. Without pytest, `python3 adapters/test_with_oracle.py` does the same.
"""

import math
import random

from ddpm_oracle import Oracle, OracleError, tensor

LINEAR = {"kind": "linear", "T": 1000, "betaStart": 1e-4, "betaEnd": 0.02}
STEP = 2**-24


def alpha_bar(t):
    """The product of 1 - beta up to time t, counted from 1; time 0 is clean data."""
    return math.prod(1 - (1e-4 + (0.02 - 1e-4) * k / 999) for k in range(t))


def q_sample(x0, t, noise):
    a = alpha_bar(t)
    return [math.sqrt(a) * x + math.sqrt(1 - a) * e for x, e in zip(x0, noise)]


def ddim_step(xt, epsilon, t, t_prev):
    a, before = alpha_bar(t), alpha_bar(t_prev)
    x0 = [(x - math.sqrt(1 - a) * e) / math.sqrt(a) for x, e in zip(xt, epsilon)]
    return [math.sqrt(before) * x + math.sqrt(1 - before) * e for x, e in zip(x0, epsilon)]


def images(seed):
    """Two rows of 12 numbers that float32 holds exactly, so that both sides see the same."""
    draw = random.Random(seed)
    return [[draw.randint(-4096, 4096) / 1024 for _ in range(12)] for _ in range(2)]


def close(got, wanted):
    """The reference's tensors are rounded to float32; what is above runs in double."""
    return all(abs(a - b) <= STEP * abs(b) + 1e-15 for a, b in zip(got, wanted))


def test_q_sample():
    with Oracle() as oracle:
        (x0, noise) = images(1)
        for t in (1, 2, 500, 1000):
            fields = {"x0": tensor([x0]), "noise": tensor([noise])}
            truth = oracle.ask("q_sample", schedule=LINEAR, t=t, **fields)
            assert close(q_sample(x0, t, noise), truth["x"][0])


def test_ddim_step():
    with Oracle() as oracle:
        (xt, epsilon) = images(2)
        for t, t_prev in ((1000, 980), (500, 499), (1, 0)):
            truth = oracle.ask(
                "ddim_step", schedule=LINEAR, t=t, tPrev=t_prev, xt=tensor([xt]), eta=0, clip=None,
                modelOutput=tensor([epsilon]), prediction="epsilon", z=tensor([[0.0] * 12]),
            )
            assert close(ddim_step(xt, epsilon, t, t_prev), truth["x"][0])


def test_a_refusal_is_an_exception():
    with Oracle() as oracle:
        try:
            oracle.ask("q_mean_variance", schedule=LINEAR, t=0, x0=tensor([[1.0]]))
        except OracleError as error:
            assert error.code == "invalid_argument"
        else:
            raise AssertionError("time 0 has no q_mean_variance")


if __name__ == "__main__":
    for test in (test_q_sample, test_ddim_step, test_a_refusal_is_an_exception):
        test()
        print(f"{test.__name__} passed")
