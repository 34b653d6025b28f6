/**
 * Your implementation in JavaScript, as `deno task verify` asks it. Copy this file and put your code in.
 *
 *     deno task verify -- node adapters/template.mjs
 *
 * It works as it is: `q_sample`, `ddim_step` and `loss_simple` are right for some options, and whatever
 * it does not have is reported as not covered. docs/protocol.md has all operations, docs/verify.md what
 * a report means.
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** Thrown for an option that your code does not have: it counts as not covered, not as wrong. */
class Unsupported extends Error {}

// 1. YOUR CODE. Here it is some lines of plain JavaScript; most likely you import it instead.

function linearBetas(T, start, end) {
  return Array.from({ length: T }, (_, k) => start + (end - start) * k / Math.max(T - 1, 1));
}

/** ᾱ at times 0..T: 1 first. */
function alphaBars(betas) {
  const bars = [1];
  for (const beta of betas) bars.push(bars.at(-1) * (1 - beta));
  return bars;
}

// 2. FROM A REQUEST TO YOUR ARGUMENTS. Times are 1..T here: subtract 1 if yours start at 0.

function betasOf({ schedule }) {
  for (const option of ["keep", "zeroTerminalSnr"]) {
    if (schedule[option]) throw new Unsupported(option);
  }
  switch (schedule.kind) {
    case "linear":
      return linearBetas(schedule.T, schedule.betaStart, schedule.betaEnd);
    case "betas":
      return schedule.betas;
    default:
      throw new Unsupported(`schedule.kind ${schedule.kind}`);
  }
}

/** A value for every element: `of(n)`, where n is the number of the sample that holds it. */
function perElement({ shape, data }, of) {
  const samples = Array.from({ length: shape[0] }, (_, n) => of(n));
  return data.map((_, i) => samples[Math.floor(i / (data.length / shape[0]))]);
}

/** The time of sample n; a request may have one for all. */
function timeOf(t, n) {
  return Array.isArray(t) ? t[n] : t;
}

// 3. THE OPERATIONS: one function each, named as in docs/protocol.md.

const ops = {
  q_sample(request) {
    const { x0, noise, t } = request, bars = alphaBars(betasOf(request));
    const bar = perElement(x0, (n) => bars[timeOf(t, n)]);
    const data = x0.data.map((x, i) =>
      Math.sqrt(bar[i]) * x + Math.sqrt(1 - bar[i]) * noise.data[i]
    );
    return { x: { shape: x0.shape, data } };
  },

  ddim_step(request) {
    const { xt, modelOutput, z, t, tPrev, eta, prediction, clip = null, finalAlphaBar } = request;
    if (prediction !== "epsilon") throw new Unsupported(`prediction ${prediction}`);
    if (clip !== null && clip.kind !== "static") throw new Unsupported(`clip ${clip.kind}`);
    const rederive = request.rederiveEpsilon ?? true;
    const bars = alphaBars(betasOf(request));
    const from = perElement(xt, (n) => bars[timeOf(t, n)]);
    const to = perElement(xt, (n) => {
      const time = timeOf(tPrev, n);
      return time === 0 ? finalAlphaBar ?? 1 : bars[time];
    });
    const x0 = xt.data.map((x, i) => {
      const value = (x - Math.sqrt(1 - from[i]) * modelOutput.data[i]) / Math.sqrt(from[i]);
      const range = clip === null ? Infinity : clip.range ?? 1;
      return Math.min(Math.max(value, -range), range);
    });
    const x = xt.data.map((x, i) => {
      const noise = 1 - from[i];
      const variance = eta ** 2 * (1 - to[i]) / noise * (1 - from[i] / to[i]);
      const epsilon = rederive
        ? (x - Math.sqrt(from[i]) * x0[i]) / Math.sqrt(noise)
        : modelOutput.data[i];
      const direction = Math.sqrt(Math.max(1 - to[i] - variance, 0)) * epsilon;
      return Math.sqrt(to[i]) * x0[i] + direction + Math.sqrt(variance) * z.data[i];
    });
    return { x: { shape: xt.shape, data: x }, x0: { shape: xt.shape, data: x0 } };
  },

  loss_simple({ epsilon, epsilonHat }) {
    const errors = epsilonHat.data.map((value, i) => value - epsilon.data[i]);
    const sum = errors.reduce((total, error) => total + error * error, 0);
    const gradient = errors.map((error) => 2 * error / errors.length);
    return { mean: sum / errors.length, sum, gradient: { shape: epsilon.shape, data: gradient } };
  },
};

// 4. THE PIPE. Print nothing else to standard output; standard error is yours.

function resultOf(request) {
  if (request.op === "hello") {
    return { protocol: 1, name: "template", version: "1", ops: Object.keys(ops) };
  }
  return ops[request.op](request);
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { id: request.id, ok: true, result: resultOf(request) };
  } catch (reason) {
    if (!(reason instanceof Unsupported)) throw reason;
    const error = { code: "unsupported", message: reason.message };
    answer = { id: request.id, ok: false, error };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
