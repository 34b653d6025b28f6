import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createOracle } from "../../src/oracle/mod.ts";
import { encodeSafetensors } from "../../src/spec/safetensors.ts";
import { ask, oracleInMemory, TINY_UNET } from "../support/oracle_session.ts";
import { CASES } from "./cases/mod.ts";

/** A line that cannot be answered, the code, and what the message must say. */
type BadLine = readonly [line: string, code: string, says: string];

const pixel = { shape: [1, 1], data: [0.5] };
const linear = { kind: "linear", T: 10, betaStart: 0.1, betaEnd: 0.2 };
const qSample = { op: "q_sample", schedule: linear, t: 1, x0: pixel, noise: pixel };
const ddim = {
  op: "ddim_step",
  schedule: linear,
  t: 2,
  tPrev: 1,
  xt: pixel,
  modelOutput: pixel,
  prediction: "x0",
  eta: 0,
  z: pixel,
};
const solver = {
  op: "dpm_solver_step",
  schedule: linear,
  order: 2,
  t: 2,
  tPrev: 1,
  history: [{ t: 3, x0: pixel }],
  xt: pixel,
  modelOutput: pixel,
  prediction: "x0",
};
const guided = {
  op: "guide",
  conditional: { shape: [1, 2], data: [1, 2] },
  unconditional: { shape: [1, 2], data: [1, 3] },
  scale: 2,
  rescale: 0.5,
};
const p = {
  op: "p_mean_variance",
  schedule: linear,
  t: 2,
  xt: pixel,
  modelOutput: pixel,
  prediction: "epsilon",
  variance: "beta",
};
const conv = {
  op: "layer",
  layer: "conv2d",
  x: { shape: [1, 1, 1, 1], data: [1] },
  weight: { shape: [1, 1, 1, 1], data: [1] },
  stride: 1,
  padding: [0, 0, 0, 0],
};
const unet = {
  op: "unet",
  config: TINY_UNET,
  weights: "fresh.safetensors",
  x: { shape: [1, 1, 1, 1], data: [1] },
  timesteps: [0],
};
const random = { op: "random_bits", seed: 0, stream: 0, index: 0, count: 1 };

/** A tensor of zeros. */
function zeros(shape: number[]): { shape: number[]; data: number[] } {
  return { shape, data: new Array(shape.reduce((a, b) => a * b)).fill(0) };
}
/** `request` with some fields changed; undefined removes one. */
function but(request: object, changes: object): string {
  return JSON.stringify({ ...request, ...changes });
}
/** q_sample with its x0 changed as text, for what JSON.stringify cannot write. */
function x0Data(text: string): string {
  return JSON.stringify(qSample).replace('"data":[0.5]', `"data":[${text}]`);
}
function scheduled(schedule: unknown): string {
  return JSON.stringify({ op: "schedule", schedule });
}
const nested = "[".repeat(100_000) + "]".repeat(100_000);

const BAD_LINES: readonly BadLine[] = [
  // Not an object.
  ["", "invalid_argument", "a line of JSON"],
  ["   ", "invalid_argument", "a line of JSON"],
  ["hello", "invalid_argument", "a line of JSON"],
  ['{"op": "hello"', "invalid_argument", "a line of JSON"],
  ['{"op": "hello"} {"op": "hello"}', "invalid_argument", "a line of JSON"],
  ['{"op": "q_sample", "t": NaN}', "invalid_argument", "a line of JSON"],
  ['{"op": "q_sample", "t": Infinity}', "invalid_argument", "a line of JSON"],
  ["null", "invalid_argument", "a JSON object but got null"],
  ["[1, 2]", "invalid_argument", "a JSON object but got a list"],
  [nested, "invalid_argument", "a JSON object but got a list"],
  ["[".repeat(1_000_000), "invalid_argument", "a line of JSON"],
  // No such operation.
  ["{}", "invalid_argument", "op"],
  ['{"op": null}', "invalid_argument", "op"],
  ['{"op": 3}', "invalid_argument", "op"],
  ['{"op": ["hello"]}', "invalid_argument", "op"],
  ['{"op": "sample"}', "unknown_op", '"sample"'],
  ['{"op": "constructor"}', "unknown_op", '"constructor"'],
  ['{"op": "__proto__"}', "unknown_op", '"__proto__"'],
  ['{"__proto__": {"op": "hello"}}', "invalid_argument", "op"],
  ['{"op": "repaint"}', "unknown_op", '"repaint"'],
  // Fields that are missing or of the wrong kind.
  [but(qSample, { t: undefined }), "invalid_argument", "for t but got nothing"],
  [but(qSample, { t: null }), "invalid_argument", "for t but got nothing"],
  [but(qSample, { x0: undefined }), "invalid_argument", "for x0 but got nothing"],
  [but(qSample, { schedule: undefined }), "invalid_argument", "for schedule but got nothing"],
  [but(qSample, { schedule: [linear] }), "invalid_argument", "for schedule but got a list of 1"],
  [but(qSample, { t: "1" }), "invalid_argument", 'for t but got "1"'],
  [but(qSample, { t: true }), "invalid_argument", "for t but got true"],
  [but(qSample, { t: {} }), "invalid_argument", "for t but got an object"],
  [but(qSample, { t: [[1]] }), "invalid_argument", "for t[0] but got a list of 1"],
  [but(p, { prediction: undefined }), "invalid_argument", "for prediction but got nothing"],
  [but(p, { prediction: "score" }), "invalid_argument", 'for prediction but got "score"'],
  [but(p, { variance: "fixedlarge" }), "invalid_argument", "for variance"],
  [but(p, { clip: true }), "invalid_argument", "an object for clip"],
  [but(p, { clip: { kind: "soft" } }), "invalid_argument", "for clip.kind"],
  [but(p, { clip: { kind: "static", range: 0 } }), "invalid_argument", "range above 0"],
  [but(p, { clip: { kind: "dynamic", quantile: 2 } }), "invalid_argument", "quantile in [0, 1]"],
  [but(p, { clip: { kind: "dynamic", max: 0.5 } }), "invalid_argument", "max of at least 1"],
  [but(ddim, { eta: undefined }), "invalid_argument", "for eta but got nothing"],
  [but(ddim, { rederiveEpsilon: 1 }), "invalid_argument", "true or false for rederiveEpsilon"],
  [but(qSample, { op: "decoder_nll" }), "invalid_argument", "for mean but got nothing"],
  // Times.
  [but(qSample, { t: 0 }), "invalid_argument", "Expected t in 1..10 but got 0"],
  [but(qSample, { t: 11 }), "invalid_argument", "Expected t in 1..10 but got 11"],
  [but(qSample, { t: 1.5 }), "invalid_argument", "Expected t in 1..10 but got 1.5"],
  [but(qSample, { t: [1, 2] }), "invalid_argument", "one per sample (1)"],
  [but(qSample, { t: [] }), "invalid_argument", "one per sample (1)"],
  [
    but(qSample, { t: 3, schedule: { ...linear, keep: [2, 4] } }),
    "invalid_argument",
    "kept times [2, 4] but got 3",
  ],
  [but(ddim, { tPrev: 2 }), "invalid_argument", "Expected tPrev below t = 2 but got 2"],
  [but(ddim, { tPrev: -1 }), "invalid_argument", "Expected tPrev in 0..9 but got -1"],
  [
    but(ddim, { op: "ddim_encode_step", tNext: 2 }),
    "invalid_argument",
    "Expected tNext above t = 2 but got 2",
  ],
  [but(ddim, { op: "ddim_encode_step", tNext: 12 }), "invalid_argument", "Expected tNext in 2..11"],
  [but(solver, { tPrev: 2 }), "invalid_argument", "Expected tPrev below t = 2 but got 2"],
  [but(solver, { tPrev: 10 }), "invalid_argument", "Expected tPrev in 0..9 but got 10"],
  [but(solver, { t: 1, tPrev: 0 }), "invalid_argument", "Expected order 1 where the step"],
  [
    but(solver, { history: [{ t: 2, x0: pixel }] }),
    "invalid_argument",
    "Expected history[0].t above 2 but got 2",
  ],
  [
    but(solver, { history: [{ t: 11, x0: pixel }] }),
    "invalid_argument",
    "Expected history[0].t in 1..10 but got 11",
  ],
  // Histories and guidance.
  [but(solver, { history: [] }), "invalid_argument", "history of at least 1 for order 2 but got 0"],
  [but(solver, { history: pixel }), "invalid_argument", "a list for history but got an object"],
  [but(solver, { history: [pixel.data] }), "invalid_argument", "an object for history[0]"],
  [but(solver, { history: [{ t: 3 }] }), "invalid_argument", "history[0].x0 but got nothing"],
  [
    but(solver, { history: [{ t: 3, x0: { shape: [1], data: [1] } }] }),
    "invalid_argument",
    "x0 of shape [1, 1]",
  ],
  [but(solver, { order: 4 }), "invalid_argument", "Expected order in 1..3 but got 4"],
  [but(solver, { prediction: "previousX" }), "invalid_argument", "for prediction"],
  [but(guided, { scale: undefined }), "invalid_argument", "for scale but got nothing"],
  [but(guided, { rescale: 1.5 }), "invalid_argument", "Expected rescale in [0, 1] but got 1.5"],
  [but(guided, { unconditional: pixel }), "invalid_argument", "unconditional of shape [1, 2]"],
  [
    but(guided, { conditional: pixel, unconditional: pixel }),
    "invalid_argument",
    "a standard deviation of 0 for the conditional output of sample 0",
  ],
  // Numbers beyond float32, or none.
  [x0Data("1e999"), "invalid_argument", "within float32's range for x0.data[0] but got Infinity"],
  [x0Data("3.5e38"), "invalid_argument", "within float32's range for x0.data[0]"],
  [x0Data("null"), "invalid_argument", "for x0.data[0] but got null"],
  [x0Data('"Infinity"'), "invalid_argument", "for x0.data[0]"],
  [x0Data(nested), "invalid_argument", "for x0.data[0] but got a list of 1"],
  [but(ddim, { eta: -1 }), "invalid_argument", "eta of at least 0"],
  [but(ddim, {}).replace('"eta":0', '"eta":1e999'), "invalid_argument", "for eta"],
  // x̂_0 = 3e38·√ᾱ + 3e38·√(1−ᾱ) is beyond float32.
  [
    but(p, {
      prediction: "v",
      t: 5,
      xt: { shape: [1], data: [3e38] },
      modelOutput: { shape: [1], data: [-3e38] },
    }),
    "invalid_argument",
    "finite in float32",
  ],
  // Shapes and claims.
  [but(qSample, { x0: { shape: [1, 2], data: [0.5] } }), "invalid_argument", "2 values for x0"],
  [but(qSample, { x0: { shape: [1], data: [1, 2] } }), "invalid_argument", "1 values for x0"],
  [but(qSample, { x0: { shape: [1e15], data: [] } }), "invalid_argument", "values for x0"],
  [
    but(qSample, { x0: { shape: [0], data: [] } }),
    "invalid_argument",
    "at least 1 for x0.shape[0]",
  ],
  [but(qSample, { x0: { shape: [-1], data: [1] } }), "invalid_argument", "for x0.shape[0]"],
  [but(qSample, { x0: { shape: new Array(9).fill(1), data: [1] } }), "invalid_argument", "8 dim"],
  [but(qSample, { x0: { data: [1] } }), "invalid_argument", "x0.shape but got nothing"],
  [but(qSample, { x0: [1] }), "invalid_argument", "for x0 but got a list of 1"],
  [but(qSample, { noise: { shape: [1], data: [1] } }), "invalid_argument", "noise of shape [1, 1]"],
  [but(p, { variance: "learned" }), "invalid_argument", "modelOutput of shape [1, 2]"],
  [but(conv, { padding: [1, 1] }), "invalid_argument", "[top, bottom, left, right]"],
  [
    but(conv, { padding: [2 ** 20, 0, 2 ** 20, 0] }),
    "invalid_argument",
    "a padded image of at most",
  ],
  [but(conv, { layer: "convTranspose" }), "invalid_argument", "for layer"],
  [but(conv, { gradient: pixel }), "invalid_argument", "dY of shape [1, 1, 1, 1]"],
  [
    but(conv, {
      x: zeros([1, 1, 1, 3000]),
      weight: zeros([3000, 1, 1, 1]),
      stride: 3000,
    }),
    "invalid_argument",
    "a spread out gradient of at most",
  ],
  [
    but(conv, { layer: "linear", x: zeros([3000, 1]), weight: zeros([3000, 1]) }),
    "invalid_argument",
    "a result of at most",
  ],
  [
    JSON.stringify({
      op: "layer",
      layer: "attention",
      q: zeros([1, 1, 3000, 1]),
      k: zeros([1, 1, 3000, 1]),
      v: zeros([1, 1, 3000, 1]),
    }),
    "invalid_argument",
    "attention scores of at most",
  ],
  [
    JSON.stringify({
      op: "layer",
      layer: "groupNorm",
      x: { shape: [1, 2], data: [1, 3] },
      weight: zeros([2]),
      bias: zeros([2]),
      groups: 1,
      eps: -0.5,
    }),
    "invalid_argument",
    "eps of at least 0",
  ],
  [but(random, { count: 1e9 }), "invalid_argument", "Expected count in 0..1000000"],
  [but(random, { seed: 2 ** 53 }), "invalid_argument", "Expected seed in 0..2^53 - 1"],
  [but(random, { index: -1 }), "invalid_argument", "Expected index in 0.."],
  [
    JSON.stringify({
      op: "time_embedding",
      timesteps: new Array(100).fill(0),
      dim: 2 ** 20,
      order: "sinCos",
      shift: 0,
      maxPeriod: 10,
    }),
    "invalid_argument",
    "an embedding of at most",
  ],
  // Schedules.
  [scheduled({ ...linear, kind: "quad" }), "invalid_argument", 'for schedule.kind but got "quad"'],
  [scheduled({ ...linear, T: undefined }), "invalid_argument", "for schedule.T but got nothing"],
  [scheduled({ ...linear, T: 1e9 }), "invalid_argument", "Expected T in 1..1000000"],
  [scheduled({ kind: "inverse", T: 200_000 }), "invalid_argument", "at most 100000 steps"],
  [scheduled({ ...linear, betaEnd: 1.5 }), "invalid_argument", "betaEnd in (0, 1]"],
  [scheduled({ kind: "betas", betas: [1, 0.5] }), "invalid_argument", "or 1 as the last"],
  [scheduled({ kind: "betas", betas: [] }), "invalid_argument", "number of betas"],
  [scheduled({ ...linear, keep: [4, 2] }), "invalid_argument", "keep"],
  [scheduled({ ...linear, keep: [11] }), "invalid_argument", "keep"],
  [scheduled({ ...linear, zeroTerminalSnr: "yes" }), "invalid_argument", "zeroTerminalSnr"],
  [scheduled({ ...linear, T: 1, zeroTerminalSnr: true }), "invalid_argument", "zeroTerminalSnr"],
  [
    scheduled({ kind: "constant", T: 5000, beta: 0.5, zeroTerminalSnr: true }),
    "invalid_argument",
    "falls in double",
  ],
  [
    but(p, { schedule: { kind: "inverse", T: 4 }, t: 4 }),
    "invalid_argument",
    "undefined at ᾱ = 0",
  ],
  ['{"op":"timesteps","T":10,"spacing":"stride","steps":6}', "invalid_argument", "integer stride"],
  [
    '{"op":"timesteps","T":10,"spacing":"leading","steps":11}',
    "invalid_argument",
    "steps in 1..10",
  ],
  [
    '{"op":"timesteps","T":10,"spacing":"leading"}',
    "invalid_argument",
    "for steps but got nothing",
  ],
  // What DDIM and the losses refuse.
  [but(ddim, { prediction: "previousX" }), "invalid_argument", "for prediction"],
  [but(ddim, { eta: 3 }), "invalid_argument", "eta with σ²"],
  [but(ddim, { finalAlphaBar: 0 }), "invalid_argument", "finalAlphaBar"],
  ['{"op":"loss_weight","schedule":{"kind":"inverse","T":2},"t":1}', "invalid_argument", "sigma2"],
  [
    but(qSample, { op: "loss_weight", variance: "beta", sigma2: 1 }),
    "invalid_argument",
    "got both",
  ],
  [
    but(qSample, {
      op: "loss_weighted",
      epsilon: pixel,
      epsilonHat: pixel,
      weighting: "vlb",
      variance: "betaTilde",
    }),
    "invalid_argument",
    "a finite loss weight",
  ],
  ['{"op":"clip_grad_norm","grads":[],"maxNorm":0}', "invalid_argument", "maxNorm above 0"],
  // Files and networks.
  [
    but(qSample, { x0: { safetensors: "none.safetensors", name: "x" } }),
    "invalid_argument",
    'a readable file at "none.safetensors"',
  ],
  [
    but(qSample, { x0: { safetensors: "broken.safetensors", name: "x" } }),
    "invalid_argument",
    "safetensors",
  ],
  [
    but(qSample, { x0: { safetensors: "values.safetensors", name: "y" } }),
    "invalid_argument",
    'a tensor "y" for x0',
  ],
  [
    but(qSample, { x0: { safetensors: "values.safetensors", name: "nan" } }),
    "invalid_argument",
    "for x0.data[0] but got NaN",
  ],
  [but(unet, { weights: "values.safetensors" }), "invalid_argument", "a parameter conv_in.weight"],
  [
    but(unet, {
      config: { ...TINY_UNET, add_attention: true, attention_head_dim: 1 },
      x: zeros([1, 1, 54, 54]),
    }),
    "invalid_argument",
    "attention scores",
  ],
  [but(unet, { weights: undefined }), "invalid_argument", "for weights but got nothing"],
  [but(unet, { timesteps: [0, 1] }), "invalid_argument", "1 timesteps"],
  [but(unet, { classLabels: [1] }), "invalid_argument", "no class labels"],
  [but(unet, { out: "/forbidden/out", target: unet.x }), "invalid_argument", "a writable file"],
  [but(unet, { context: pixel }), "unsupported", "context"],
  [
    but(unet, { config: { ...TINY_UNET, time_embedding_type: "fourier" } }),
    "unsupported",
    "config.time_embedding_type",
  ],
  [
    but(unet, { config: { ...TINY_UNET, down_block_types: ["SkipDownBlock2D"] } }),
    "unsupported",
    "config.down_block_types",
  ],
  [but(unet, { config: { ...TINY_UNET, constructor: 1 } }), "invalid_argument", "UNet2DModel"],
  [but(unet, { config: { ...TINY_UNET, channels: 3 } }), "invalid_argument", "UNet2DModel"],
  [but(unet, { config: { ...TINY_UNET, layers_per_block: 1e6 } }), "invalid_argument", "blocks"],
];

Deno.test("every bad line gets its code and a sentence that says what was expected", () => {
  const { oracle, files } = oracleInMemory();
  const one = (value: number) => ({ shape: [1], data: Float32Array.of(value) });
  const values = new Map([["x", one(1)], ["nan", one(NaN)]]);
  files.set("values.safetensors", encodeSafetensors(values));
  files.set("broken.safetensors", new Uint8Array(100).fill(255));
  for (const [line, code, says] of BAD_LINES) {
    const text = oracle.answer(line), shown = line.slice(0, 200);
    assert(!text.includes("\n"), shown);
    const answer = JSON.parse(text);
    assertEquals(Object.keys(answer), ["id", "ok", "error"], shown);
    assertEquals(answer.error.code, code, `${shown}: ${answer.error.message}`);
    assertStringIncludes(answer.error.message, says, shown);
    assert(answer.error.message.startsWith("Expected "), shown);
    assert(answer.error.message.length < 1000, shown);
  }
});

Deno.test("after any bad line the next good request is answered as before", () => {
  const { oracle } = oracleInMemory();
  const good = CASES.map(({ request }) => JSON.stringify(request));
  const before = good.map((line) => oracle.answer(line));
  for (const [i, [line]] of BAD_LINES.entries()) {
    oracle.answer(line);
    assertEquals(oracle.answer(good[i % good.length]), before[i % good.length]);
  }
});

Deno.test("ids of any JSON value come back as they were written, in results and in errors", () => {
  const { oracle } = oracleInMemory();
  const ids = [
    "7",
    "-0",
    "12345678901234567890",
    "1e999",
    '"a\\u0000\\n"',
    '"\\ud800"',
    "true",
    "false",
    "null",
    '[1, [2], {"a": "}"}]',
    '{"id": 1, "op": "x\\"y"}',
    "[".repeat(5000) + "]".repeat(5000),
  ];
  for (const id of ids) {
    for (const op of ["hello", "nothing"]) {
      const answer = oracle.answer(`{"a": {"id": 0}, "op": "${op}", "id" : ${id} , "z": "id"}`);
      assert(answer.startsWith(`{"id":${id},"ok":${op === "hello"},`), answer.slice(0, 80));
    }
  }
  assertEquals(ask(oracle, { op: "hello" }).id, null);
});

Deno.test("an error of the program is answered as internal, without a stack trace", () => {
  const oracle = createOracle({
    get version(): string {
      throw new TypeError("boom");
    },
    readFile: () => new Uint8Array(),
    writeFile: () => {},
  });
  assertEquals(ask(oracle, { id: 1, op: "hello" }), {
    id: 1,
    ok: false,
    error: { code: "internal", message: "boom" },
  });
});
