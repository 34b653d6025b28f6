import { assertEquals, assertNotEquals } from "@std/assert";
import { oracleInMemory } from "../support/oracle_session.ts";
import { tensor, TWO } from "./cases/case.ts";

const three = { kind: "constant", T: 3, beta: 0.5 };
const wide = (values: number[]) => tensor([1, values.length], values);
const x = wide([1, -2, 4]);
const cosine = { kind: "cosine", T: 3 };
const scheduleOf = (schedule: unknown) => ({ op: "schedule", schedule });
const p = {
  op: "p_mean_variance",
  schedule: TWO,
  t: 2,
  xt: x,
  modelOutput: x,
  prediction: "x0",
  variance: "beta",
};
const ddpm = { ...p, op: "ddpm_step", t: 1, z: x };
const ddim = {
  op: "ddim_step",
  schedule: three,
  t: 3,
  tPrev: 0,
  xt: wide([0, 0, 0]),
  modelOutput: x,
  prediction: "epsilon",
  eta: 1,
  z: x,
};
const weighted = {
  op: "loss_weighted",
  schedule: { kind: "betas", betas: [0.01, 0.5] },
  t: 1,
  epsilon: wide([0, 0, 0]),
  epsilonHat: x,
};
const attention = {
  op: "layer",
  layer: "attention",
  q: tensor([1, 1, 1, 4], [1, 0, 0, 0]),
  k: tensor([1, 1, 2, 4], [1, 0, 0, 0, 0, 0, 0, 0]),
  v: tensor([1, 1, 2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
};

/** Requests without a field, with the value that the protocol says it then has, and with another. */
const DEFAULTS: Record<string, [without: object, same: object, other: object]> = {
  "s of cosine is 0.008": [
    scheduleOf(cosine),
    scheduleOf({ ...cosine, s: 0.008 }),
    scheduleOf({ ...cosine, s: 0.01 }),
  ],
  "maxBeta of cosine is 0.999": [
    scheduleOf(cosine),
    scheduleOf({ ...cosine, maxBeta: 0.999 }),
    scheduleOf({ ...cosine, maxBeta: 0.9 }),
  ],
  "zeroTerminalSnr is false": [
    scheduleOf(TWO),
    scheduleOf({ ...TWO, zeroTerminalSnr: false }),
    scheduleOf({ ...TWO, zeroTerminalSnr: true }),
  ],
  "keep is all": [
    scheduleOf(TWO),
    scheduleOf({ ...TWO, keep: [1, 2] }),
    scheduleOf({ ...TWO, keep: [2] }),
  ],
  "clip is null": [p, { ...p, clip: null }, { ...p, clip: { kind: "static", range: 1 } }],
  "range of a static clip is 1": [
    { ...p, clip: { kind: "static" } },
    { ...p, clip: { kind: "static", range: 1 } },
    { ...p, clip: { kind: "static", range: 2 } },
  ],
  "quantile of a dynamic clip is 0.995": [
    { ...p, clip: { kind: "dynamic", max: 5 } },
    { ...p, clip: { kind: "dynamic", max: 5, quantile: 0.995 } },
    { ...p, clip: { kind: "dynamic", max: 5, quantile: 0.5 } },
  ],
  "max of a dynamic clip is 1": [
    { ...p, clip: { kind: "dynamic" } },
    { ...p, clip: { kind: "dynamic", max: 1 } },
    { ...p, clip: { kind: "dynamic", max: 2 } },
  ],
  "finalNoise is false": [ddpm, { ...ddpm, finalNoise: false }, { ...ddpm, finalNoise: true }],
  "rederiveEpsilon is true": [
    { ...ddim, tPrev: 1, clip: { kind: "static" } },
    { ...ddim, tPrev: 1, clip: { kind: "static" }, rederiveEpsilon: true },
    { ...ddim, tPrev: 1, clip: { kind: "static" }, rederiveEpsilon: false },
  ],
  "finalAlphaBar is 1": [
    ddim,
    { ...ddim, finalAlphaBar: 1 },
    { ...ddim, finalAlphaBar: 0.99 },
  ],
  "rederiveEpsilon is true when encoding": [
    { ...ddim, op: "ddim_encode_step", t: 1, tNext: 2, clip: { kind: "static" } },
    {
      ...{ ...ddim, op: "ddim_encode_step", t: 1, tNext: 2, clip: { kind: "static" } },
      rederiveEpsilon: true,
    },
    {
      ...{ ...ddim, op: "ddim_encode_step", t: 1, tNext: 2, clip: { kind: "static" } },
      rederiveEpsilon: false,
    },
  ],
  "gamma of minSnr is 5": [
    { ...weighted, weighting: "minSnr" },
    { ...weighted, weighting: "minSnr", gamma: 5 },
    { ...weighted, weighting: "minSnr", gamma: 4 },
  ],
  "p2K is 1": [
    { ...weighted, weighting: "p2" },
    { ...weighted, weighting: "p2", p2K: 1 },
    { ...weighted, weighting: "p2", p2K: 2 },
  ],
  "p2Gamma is 1": [
    { ...weighted, weighting: "p2" },
    { ...weighted, weighting: "p2", p2Gamma: 1 },
    { ...weighted, weighting: "p2", p2Gamma: 0.5 },
  ],
  "scale of attention is D^−½": [attention, { ...attention, scale: 0.5 }, {
    ...attention,
    scale: 1,
  }],
};

for (const [name, [without, same, other]] of Object.entries(DEFAULTS)) {
  Deno.test(`the default: ${name}`, () => {
    const { oracle } = oracleInMemory();
    const [answer, sameAnswer, otherAnswer] = [without, same, other].map((request) =>
      oracle.answer(JSON.stringify(request))
    );
    assertEquals(JSON.parse(answer).ok, true, answer);
    assertEquals(sameAnswer, answer);
    assertNotEquals(otherAnswer, answer);
  });
}
