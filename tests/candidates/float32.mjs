/**
 * A candidate for `verify` in plain JavaScript (Node or Deno), all in float32 and in the order of
 * operations of common samplers: coefficients from ᾱ at the two ends of a step, ᾱ a float32 cumulative
 * product, σ and directions by subtraction, sums from the last term to the first.
 */
const f = Math.fround;
const add = (a, b) => f(a + b), sub = (a, b) => f(a - b), mul = (a, b) => f(a * b);
const div = (a, b) => f(a / b), sqrt = (a) => f(Math.sqrt(Math.max(a, 0)));
const exp = (a) => f(Math.exp(a)), log = (a) => f(Math.log(a));
const sum = (values) => values.reduceRight((total, v) => add(total, v), 0);
const range = (n) => Array.from({ length: n }, (_, i) => i);

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Schedules

function line(start, end, T) {
  const step = T > 1 ? div(sub(end, start), T - 1) : 0;
  return range(T).map((k) => add(start, mul(k, step)));
}
const logistic = (x) => div(1, add(1, exp(-x)));

function betasOf(s) {
  const { kind, T } = s;
  if (kind === "betas") return s.betas.map(f);
  const [start, end] = [f(s.betaStart), f(s.betaEnd)];
  if (kind === "linear") return line(start, end, T);
  if (kind === "quadratic") return line(sqrt(start), sqrt(end), T).map((r) => mul(r, r));
  if (kind === "sigmoid") {
    return line(-6, 6, T).map((u) => add(mul(logistic(u), sub(end, start)), start));
  }
  if (kind === "constant") return range(T).map(() => f(s.beta));
  if (kind === "inverse") return range(T).map((k) => div(1, T - k));
  const bar = kind === "cosine"
    ? (k) => {
      const c = f(Math.cos(div(mul(div(add(div(k, T), f(s.s)), add(1, f(s.s))), f(Math.PI)), 2)));
      return mul(c, c);
    }
    : (k) => {
      const at = (x) => logistic(div(x, f(s.tau)));
      const x = add(mul(div(k, T), sub(f(s.end), f(s.start))), f(s.start));
      return div(sub(at(f(s.end)), at(x)), sub(at(f(s.end)), at(f(s.start))));
    };
  return range(T).map((k) => Math.min(sub(1, div(bar(k + 1), bar(k))), f(s.maxBeta)));
}

function product(betas) {
  let total = 1;
  return betas.map((b) => total = mul(total, sub(1, b)));
}

const cache = new Map();
function processOf({ schedule: s }) {
  const key = JSON.stringify(s);
  if (cache.has(key)) return cache.get(key);
  let betas = betasOf(s);
  if (s.zeroTerminalSnr) {
    const roots = product(betas).map(sqrt), first = roots[0], last = roots[roots.length - 1];
    const scale = div(first, sub(first, last));
    const bars = roots.map((r) => mul(sub(r, last), scale)).map((r) => mul(r, r));
    betas = betas.map((b, k) => k === 0 ? b : sub(1, div(bars[k], bars[k - 1])));
  }
  const all = product(betas), times = s.keep ?? range(all.length).map((k) => k + 1);
  const bar = times.map((t) => all[t - 1]);
  const before = (k) => k === 0 ? 1 : bar[k - 1];
  // The variance of a step always from ᾱ at its ends.
  const alpha = bar.map((a, k) => div(a, before(k))), beta = alpha.map((a) => sub(1, a));
  const tilde = beta.map((b, k) => mul(div(sub(1, before(k)), sub(1, bar[k])), b));
  const first = tilde.length > 1 ? tilde[1] : beta[0];
  const made = {
    T: all.length,
    times,
    bar,
    alpha,
    beta,
    tilde,
    logTilde: tilde.map((v, k) => log(k === 0 ? first : v)),
    coefX0: beta.map((b, k) => div(mul(sqrt(before(k)), b), sub(1, bar[k]))),
    coefXt: alpha.map((a, k) => div(mul(sqrt(a), sub(1, before(k))), sub(1, bar[k]))),
  };
  if (cache.size > 100) cache.clear();
  cache.set(key, made);
  return made;
}

function barAt(p, t) {
  return t === 0 ? 1 : t === p.T + 1 ? 0 : p.bar[p.times.indexOf(t)];
}

// Elementwise operations

/** `of(n)` once per sample gives the function of its elements. */
function elementwise(x, of) {
  const D = x.data.length / x.shape[0];
  const each = range(x.shape[0]).map(of);
  return { shape: x.shape, data: x.data.map((_, i) => each[Math.floor(i / D)](i)) };
}
const at = (t, n) => Array.isArray(t) ? t[n] : t;

function affine(r, name, other, coefficients) {
  const p = processOf(r), x = r[name], y = r[other];
  return elementwise(x, (n) => {
    const [a, b] = coefficients(p, p.times.indexOf(at(r.t, n)));
    return (i) => add(mul(b, y.data[i]), mul(a, x.data[i]));
  });
}

function x0Of(kind, p, k, x, value) {
  const signal = sqrt(p.bar[k]), noise = sqrt(sub(1, p.bar[k]));
  if ((kind === "epsilon" || kind === "score") && p.bar[k] === 0) {
    throw new Refusal("invalid_argument", "undefined at ᾱ = 0");
  }
  switch (kind) {
    case "epsilon": {
      const inverse = div(1, p.bar[k]);
      return sub(mul(sqrt(inverse), x), mul(sqrt(sub(inverse, 1)), value));
    }
    case "v":
      return sub(mul(signal, x), mul(noise, value));
    case "score":
      return div(add(x, mul(sub(1, p.bar[k]), value)), signal);
    case "previousX":
      return div(sub(value, mul(p.coefXt[k], x)), p.coefX0[k]);
    default:
      return value;
  }
}

/** ε̂ by way of x̂_0, whatever was predicted. */
function epsilonOf(kind, p, k, x, value) {
  return epsilonOfX0(p, k, x, x0Of(kind, p, k, x, value));
}
function epsilonOfX0(p, k, x, x0) {
  return div(sub(x, mul(sqrt(p.bar[k]), x0)), sqrt(sub(1, p.bar[k])));
}

function clip(values, rule) {
  if (rule === null) return values;
  const clamp = (v, s) => Math.min(Math.max(v, -s), s);
  if (rule.kind === "static") return values.map((v) => clamp(v, f(rule.range)));
  const sorted = values.map(Math.abs).sort((a, b) => a - b);
  const position = mul(f(rule.quantile), sorted.length - 1), below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1), share = sub(position, below);
  const q = add(mul(sub(1, share), sorted[below]), mul(share, sorted[above]));
  const s = Math.min(Math.max(q, 1), f(rule.max));
  return values.map((v) => div(clamp(v, s), s));
}

function read(r) {
  const p = processOf(r), { xt } = r, N = xt.shape[0], D = xt.data.length / N;
  const wide = r.modelOutput.data.length / xt.data.length;
  const output = (n, d) => f(r.modelOutput.data[n * D * wide + d]);
  const raw = (n, d) => f(r.modelOutput.data[n * D * wide + D + d]);
  const samples = range(N).map((n) => {
    const k = p.times.indexOf(at(r.t, n)), x = xt.data.slice(n * D, (n + 1) * D);
    const x0 = clip(x.map((v, d) => x0Of(r.prediction, p, k, v, output(n, d))), r.clip ?? null);
    return {
      k,
      x,
      x0,
      output: range(D).map((d) => output(n, d)),
      raw: range(D).map((d) => raw(n, d)),
    };
  });
  return { p, shape: xt.shape, samples };
}

const gathered = (shape, rows) => ({ shape, data: rows.flat() });

function moments(r) {
  const { p, shape, samples } = read(r);
  return {
    p,
    shape,
    samples: samples.map(({ k, x, x0, output, raw }) => {
      const large = k === 0 ? p.logTilde[0] : log(p.beta[k]);
      const top = log(p.beta[k]), bottom = p.logTilde[k];
      const logs = raw.map((v) =>
        r.variance === "beta"
          ? large
          : r.variance === "betaTilde"
          ? bottom
          : r.variance === "learned"
          ? v
          : add(bottom, mul(div(add(v, 1), 2), sub(top, bottom)))
      );
      const means = x.map((v, d) => add(mul(p.coefXt[k], v), mul(p.coefX0[k], x0[d])));
      // (x − β/√(1−ᾱ)·ε)/√α, where nothing is clipped.
      const closed = x.map((v, d) =>
        div(sub(v, mul(div(p.beta[k], sqrt(sub(1, p.bar[k]))), output[d])), sqrt(p.alpha[k]))
      );
      const mean = r.prediction === "previousX"
        ? output
        : r.prediction === "epsilon" && !r.clip
        ? closed
        : means;
      const variance = r.variance === "betaTilde" ? x.map(() => p.tilde[k]) : logs.map(exp);
      return { k, mean, variance, logVariance: logs, x0 };
    }),
  };
}

function ddimRead(r) {
  const { p, shape, samples } = read(r);
  return {
    p,
    shape,
    samples: samples.map(({ k, x, x0, output }) => ({
      k,
      x0,
      epsilon: r.rederiveEpsilon
        ? x.map((v, d) => epsilonOfX0(p, k, v, x0[d]))
        : x.map((v, d) =>
          r.prediction === "epsilon" ? output[d] : epsilonOf(r.prediction, p, k, v, output[d])
        ),
    })),
  };
}

// Layers, one sum per output

function convolve(x, weight, bias, stride, [top, bottom, left, right]) {
  const [N, C, H, W] = x.shape, [O, , kH, kW] = weight.shape;
  const rows = Math.floor((H + top + bottom - kH) / stride) + 1;
  const columns = Math.floor((W + left + right - kW) / stride) + 1;
  const y = [], dX = x.data.map(() => []), dW = weight.data.map(() => []);
  const links = [];
  for (const n of range(N)) {
    for (const o of range(O)) {
      for (const i of range(rows)) {
        for (const j of range(columns)) {
          const terms = [];
          for (const c of range(C)) {
            for (const a of range(kH)) {
              for (const b of range(kW)) {
                const h = i * stride + a - top, w = j * stride + b - left;
                if (h < 0 || h >= H || w < 0 || w >= W) continue;
                const xi = ((n * C + c) * H + h) * W + w, wi = ((o * C + c) * kH + a) * kW + b;
                terms.push(mul(f(x.data[xi]), f(weight.data[wi])));
                links.push([y.length, xi, wi]);
              }
            }
          }
          y.push(add(sum(terms), bias ? f(bias.data[o]) : 0));
        }
      }
    }
  }
  const shape = [N, O, rows, columns], plane = rows * columns;
  const backward = (dY) => {
    for (const [yi, xi, wi] of links) {
      dX[xi].push(mul(dY[yi], f(weight.data[wi])));
      dW[wi].push(mul(dY[yi], f(x.data[xi])));
    }
    const dB = range(O).map((o) => sum(dY.filter((_, i) => Math.floor(i / plane) % O === o)));
    return {
      dX: { shape: x.shape, data: dX.map(sum) },
      dWeight: { shape: weight.shape, data: dW.map(sum) },
      ...(bias ? { dBias: { shape: [O], data: dB } } : {}),
    };
  };
  return { y: { shape, data: y }, backward };
}

const LAYERS = {
  conv2d: (r) => convolve(r.x, r.weight, r.bias, r.stride, r.padding),
  downsample: (r) => convolve(r.x, r.weight, r.bias, 2, r.padding),
  upsample(r) {
    const [N, C, H, W] = r.x.shape, data = [];
    const source = [];
    for (const m of range(N * C)) {
      for (const i of range(2 * H)) {
        for (const j of range(2 * W)) {
          const at = (m * H + (i >> 1)) * W + (j >> 1);
          source.push(at);
          data.push(r.x.data[at]);
        }
      }
    }
    const up = { shape: [N, C, 2 * H, 2 * W], data };
    const gather = (d) => ({
      shape: r.x.shape,
      data: r.x.data.map((_, k) => sum(d.filter((_, i) => source[i] === k))),
    });
    if (!r.weight) return { y: up, backward: (dY) => ({ dX: gather(dY) }) };
    const { y, backward } = convolve(up, r.weight, r.bias, 1, [1, 1, 1, 1]);
    return {
      y,
      backward: (dY) => {
        const g = backward(dY);
        return { ...g, dX: gather(g.dX.data) };
      },
    };
  },
  linear(r) {
    const [O, I] = r.weight.shape, rows = r.x.data.length / I;
    const x = (n, i) => f(r.x.data[n * I + i]), w = (o, i) => f(r.weight.data[o * I + i]);
    const data = range(rows).flatMap((n) =>
      range(O).map((o) =>
        add(sum(range(I).map((i) => mul(x(n, i), w(o, i)))), r.bias ? f(r.bias.data[o]) : 0)
      )
    );
    return {
      y: { shape: [...r.x.shape.slice(0, -1), O], data },
      backward: (dY) => ({
        dX: {
          shape: r.x.shape,
          data: range(rows).flatMap((n) =>
            range(I).map((i) => sum(range(O).map((o) => mul(dY[n * O + o], w(o, i)))))
          ),
        },
        dWeight: {
          shape: r.weight.shape,
          data: range(O).flatMap((o) =>
            range(I).map((i) => sum(range(rows).map((n) => mul(dY[n * O + o], x(n, i)))))
          ),
        },
        ...(r.bias
          ? {
            dBias: {
              shape: [O],
              data: range(O).map((o) => sum(range(rows).map((n) => dY[n * O + o]))),
            },
          }
          : {}),
      }),
    };
  },
  silu(r) {
    const s = r.x.data.map((v) => div(1, add(1, exp(-v))));
    return {
      y: { shape: r.x.shape, data: r.x.data.map((v, i) => mul(v, s[i])) },
      backward: (dY) => ({
        dX: {
          shape: r.x.shape,
          data: dY.map((d, i) => mul(d, add(s[i], mul(mul(r.x.data[i], s[i]), sub(1, s[i]))))),
        },
      }),
    };
  },
  groupNorm(r) {
    const [N, C] = r.x.shape, plane = r.x.data.length / N / C, size = C / r.groups * plane;
    const channel = (i) => Math.floor(i / plane) % C, x = r.x.data.map(f), w = r.weight.data.map(f);
    const blocks = range(N * r.groups).map((g) => {
      const own = range(size).map((i) => g * size + i);
      const mean = div(sum(own.map((i) => x[i])), size);
      // One pass: E[x²] − μ².
      const variance = sub(div(sum(own.map((i) => mul(x[i], x[i]))), size), mul(mean, mean));
      return { own, mean, inverse: div(1, sqrt(add(Math.max(variance, 0), f(r.eps)))) };
    });
    const normal = blocks.flatMap(({ own, mean, inverse }) =>
      own.map((i) => mul(sub(x[i], mean), inverse))
    );
    return {
      y: {
        shape: r.x.shape,
        data: normal.map((v, i) => add(mul(v, w[channel(i)]), f(r.bias.data[channel(i)]))),
      },
      backward: (dY) => ({
        dX: {
          shape: r.x.shape,
          data: blocks.flatMap(({ own, inverse }) => {
            const d = own.map((i) => mul(dY[i], w[channel(i)]));
            const mean = div(sum(d), size),
              along = div(sum(d.map((v, k) => mul(v, normal[own[k]]))), size);
            return d.map((v, k) => mul(inverse, sub(v, add(mean, mul(normal[own[k]], along)))));
          }),
        },
        dWeight: {
          shape: [C],
          data: range(C).map((c) =>
            sum(dY.map((d, i) => mul(d, normal[i])).filter((_, i) => channel(i) === c))
          ),
        },
        dBias: {
          shape: [C],
          data: range(C).map((c) => sum(dY.filter((_, i) => channel(i) === c))),
        },
      }),
    };
  },
  attention(r) {
    const [N, heads, L, D] = r.q.shape, s = f(r.scale ?? 1 / Math.sqrt(D)), A = N * heads;
    const q = (h, l, d) => f(r.q.data[(h * L + l) * D + d]),
      k = (h, l, d) => f(r.k.data[(h * L + l) * D + d]);
    const v = (h, l, d) => f(r.v.data[(h * L + l) * D + d]);
    const P = range(A).map((h) =>
      range(L).map((l) => {
        const scores = range(L).map((m) =>
          sum(range(D).map((d) => mul(mul(q(h, l, d), s), k(h, m, d))))
        );
        const e = scores.map((x) => exp(sub(x, Math.max(...scores)))), total = sum(e);
        return e.map((x) => div(x, total));
      })
    );
    const all = (of) => ({
      shape: r.q.shape,
      data: range(A).flatMap((h) => range(L).flatMap((l) => range(D).map((d) => of(h, l, d)))),
    });
    return {
      y: all((h, l, d) => sum(range(L).map((m) => mul(P[h][l][m], v(h, m, d))))),
      backward: (dY) => {
        const g = (h, l, d) => dY[(h * L + l) * D + d];
        const dP = range(A).map((h) =>
          range(L).map((l) =>
            range(L).map((m) => sum(range(D).map((d) => mul(g(h, l, d), v(h, m, d)))))
          )
        );
        const dS = range(A).map((h) =>
          range(L).map((l) => {
            const mean = sum(
              range(D).map((d) =>
                mul(g(h, l, d), sum(range(L).map((m) => mul(P[h][l][m], v(h, m, d)))))
              ),
            );
            return range(L).map((m) => mul(P[h][l][m], sub(dP[h][l][m], mean)));
          })
        );
        return {
          dQ: all((h, l, d) => mul(s, sum(range(L).map((m) => mul(dS[h][l][m], k(h, m, d)))))),
          dK: all((h, m, d) => mul(s, sum(range(L).map((l) => mul(dS[h][l][m], q(h, l, d)))))),
          dV: all((h, m, d) => sum(range(L).map((l) => mul(P[h][l][m], g(h, l, d))))),
        };
      },
    };
  },
};

const OPS = {
  schedule(r) {
    const p = processOf(r);
    return {
      timesteps: p.times,
      beta: p.beta,
      alpha: p.alpha,
      alphaBar: p.bar,
      betaTilde: p.tilde,
      logBetaTildeClipped: p.logTilde,
      posteriorCoefX0: p.coefX0,
      posteriorCoefXt: p.coefXt,
      sqrtAlphaBar: p.bar.map(sqrt),
      sqrtOneMinusAlphaBar: p.bar.map((a) => sqrt(sub(1, a))),
      snr: p.bar.map((a) => div(a, sub(1, a))),
    };
  },
  q_step: (r) => ({
    x: affine(r, "xPrev", "noise", (p, k) => [sqrt(p.alpha[k]), sqrt(p.beta[k])]),
  }),
  q_sample: (r) => ({
    x: affine(r, "x0", "noise", (p, k) => [sqrt(p.bar[k]), sqrt(sub(1, p.bar[k]))]),
  }),
  q_posterior(r) {
    const p = processOf(r), ks = range(r.x0.shape[0]).map((n) => p.times.indexOf(at(r.t, n)));
    return {
      mean: affine(r, "x0", "xt", (p, k) => [p.coefX0[k], p.coefXt[k]]),
      variance: ks.map((k) => p.tilde[k]),
      logVarianceClipped: ks.map((k) => p.logTilde[k]),
    };
  },
  convert(r) {
    const p = processOf(r);
    return {
      value: elementwise(r.xt, (n) => {
        const k = p.times.indexOf(at(r.t, n)), noise = sqrt(sub(1, p.bar[k]));
        return (i) => {
          const x = r.xt.data[i], value = r.value.data[i];
          const x0 = x0Of(r.from, p, k, x, value);
          switch (r.to) {
            case "x0":
              return x0;
            case "epsilon":
              return epsilonOfX0(p, k, x, x0);
            case "score":
              return div(sub(mul(sqrt(p.bar[k]), x0), x), sub(1, p.bar[k]));
            case "v":
              return sub(mul(sqrt(p.bar[k]), epsilonOfX0(p, k, x, x0)), mul(noise, x0));
            default:
              return add(mul(p.coefXt[k], x), mul(p.coefX0[k], x0));
          }
        };
      }),
    };
  },
  p_mean_variance(r) {
    const { shape, samples } = moments(r);
    return Object.fromEntries(
      ["mean", "variance", "logVariance", "x0"].map((
        name,
      ) => [name, gathered(shape, samples.map((s) => s[name]))]),
    );
  },
  ddpm_step(r) {
    const { shape, samples } = moments(r), D = r.z.data.length / shape[0];
    const x = samples.map(({ k, mean, variance, logVariance }, n) =>
      mean.map((m, d) => {
        if (k === 0 && !r.finalNoise) return m;
        // √ of the variance where there is one; β̃ is 0 in the first step but its logarithm is not.
        const sigma = k === 0 ? exp(mul(0.5, logVariance[d])) : sqrt(variance[d]);
        return add(m, mul(sigma, r.z.data[n * D + d]));
      })
    );
    return { x: gathered(shape, x), x0: gathered(shape, samples.map((s) => s.x0)) };
  },
  ddim_step(r) {
    const { p, shape, samples } = ddimRead(r), D = r.z.data.length / shape[0];
    const x = samples.map(({ k, x0, epsilon }, n) => {
      const end = at(r.tPrev, n), bar = end === 0 ? f(r.finalAlphaBar) : barAt(p, end);
      const variance = mul(div(sub(1, bar), sub(1, p.bar[k])), sub(1, div(p.bar[k], bar)));
      const sigma = mul(f(r.eta), sqrt(variance)),
        share = sqrt(sub(sub(1, bar), mul(sigma, sigma)));
      return x0.map((v, d) =>
        add(add(mul(share, epsilon[d]), mul(sqrt(bar), v)), mul(sigma, r.z.data[n * D + d]))
      );
    });
    return { x: gathered(shape, x), x0: gathered(shape, samples.map((s) => s.x0)) };
  },
  ddim_encode_step(r) {
    const { p, shape, samples } = ddimRead(r);
    const x = samples.map(({ x0, epsilon }, n) => {
      const bar = barAt(p, at(r.tNext, n));
      return x0.map((v, d) => add(mul(sqrt(sub(1, bar)), epsilon[d]), mul(sqrt(bar), v)));
    });
    return { x: gathered(shape, x) };
  },
  layer(r) {
    const { y, backward } = LAYERS[r.layer](r);
    return r.gradient ? { y, grads: backward(r.gradient.data.map(f)) } : { y };
  },
};

function answerTo(request) {
  if (request.op === "hello") {
    return { protocol: 1, name: "float32.js", version: "1", ops: Object.keys(OPS) };
  }
  return OPS[request.op](request);
}

import { createInterface } from "node:readline";
import process from "node:process";

const DEFAULTS = {
  ddim_step: { rederiveEpsilon: true, finalAlphaBar: 1 },
  ddim_encode_step: { rederiveEpsilon: true },
  minSnr: { gamma: 5 },
  p2: { p2K: 1, p2Gamma: 1 },
  static: { range: 1 },
  dynamic: { quantile: 0.995, max: 1 },
  cosine: { s: 0.008, maxBeta: 0.999 },
};

// A request with the options that are left to the protocol's defaults.
function writtenOut(r) {
  const inner = ["clip", "schedule"].filter((name) => r[name]?.kind)
    .map((name) => [name, { ...DEFAULTS[r[name].kind], ...r[name] }]);
  return { ...DEFAULTS[r.op], ...DEFAULTS[r.weighting], ...r, ...Object.fromEntries(inner) };
}

for await (const text of createInterface({ input: process.stdin })) {
  const request = writtenOut(JSON.parse(text));
  let answer;
  try {
    answer = { id: request.id, ok: true, result: answerTo(request) };
  } catch (error) {
    const code = error.code ?? "internal";
    answer = { id: request.id, ok: false, error: { code, message: error.message } };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
