import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { U64 } from "../../src/math/float32.ts";
import { sizeOf } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import {
  elementwise,
  elementwiseDoubles,
  forEachSample,
  noiseLevelAt,
  samplesOf,
  stepAt,
  timesPerSample,
} from "../../src/reference/step.ts";
import { process, shape } from "../support/arbitraries.ts";
import { boundedTest, forAll } from "../support/property.ts";

boundedTest(
  "stepAt and noiseLevelAt look up the step that starts at a kept time, and the two ends",
  "n·u·|table| (docs/numerics.md#tables)",
  200,
  process,
  (drawn, bound) => {
    const schedule = createSchedule(drawn.config);
    for (const exact of drawn.steps) {
      const step = stepAt(schedule, exact.t);
      assertEquals([step.t, step.previous, step.first], [exact.t, exact.previous, exact.first]);
      const pairs: [string, number, number][] = [
        ["β", step.beta, exact.beta],
        ["α", step.alpha, exact.alpha],
        ["ᾱ", step.alphaBar, exact.alphaBar],
        ["1−ᾱ", step.oneMinusAlphaBar, exact.oneMinusAlphaBar],
        ["β̃", step.betaTilde, exact.posteriorVariance],
        ["x_0 coefficient", step.posteriorCoefX0, exact.coefX0],
        ["x_t coefficient", step.posteriorCoefXt, exact.coefXt],
        ["SNR", step.snr, exact.alphaBar / exact.oneMinusAlphaBar],
        ["ᾱ of the level", noiseLevelAt(schedule, exact.t).alphaBar, exact.alphaBar],
        [
          "1−ᾱ of the level",
          noiseLevelAt(schedule, exact.t).oneMinusAlphaBar,
          exact.oneMinusAlphaBar,
        ],
      ];
      for (const [name, found, value] of pairs) {
        bound.check(found, value, drawn.n * U64 * Math.abs(value), name, exact.t);
      }
      const log = exact.logVarianceClipped;
      bound.check(step.logBetaTildeClipped, log, (drawn.n + 2 * Math.abs(log)) * U64, "ln β̃");
    }
    assertEquals(noiseLevelAt(schedule, 0), { alphaBar: 1, oneMinusAlphaBar: 0 });
    assertEquals(noiseLevelAt(schedule, drawn.T + 1), { alphaBar: 0, oneMinusAlphaBar: 1 });
  },
);

Deno.test("a time that is not kept, or outside 1..T, is an error that says so", () => {
  forAll(process, 100, (drawn) => {
    const schedule = createSchedule(drawn.config);
    const kept = new Set(drawn.steps.map((s) => s.t));
    for (let t = 1; t <= Math.min(drawn.T, 20); t++) {
      if (!kept.has(t)) {
        assertThrows(() => stepAt(schedule, t), ArgumentError, "Expected t among the kept times");
        assertThrows(() => noiseLevelAt(schedule, t), ArgumentError, "kept times");
      }
    }
    for (const t of [0, drawn.T + 1, 1.5, NaN]) {
      assertThrows(() => stepAt(schedule, t), ArgumentError, `Expected t in 1..${drawn.T} but got`);
    }
    assertThrows(() => noiseLevelAt(schedule, -1), ArgumentError);
    assertThrows(() => noiseLevelAt(schedule, drawn.T + 2), ArgumentError);
  });
});

Deno.test("one time serves every sample, a list serves one each", () => {
  forAll(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.array(fc.nat(9))), 200, ([N, list]) => {
    assertEquals(timesPerSample(7, N), Array.from({ length: N }, () => 7));
    if (list.length === N) assertEquals(timesPerSample(list, N), list);
    else assertThrows(() => timesPerSample(list, N), ArgumentError, `one per sample (${N})`);
  });
});

Deno.test("an elementwise equation is evaluated at its sample's time, at every flat index", () => {
  forAll(shape, 100, (of) => {
    const N = of[0], D = of.slice(1).reduce((product, size) => product * size, 1);
    assertEquals(samplesOf(of), N);
    const times = Array.from({ length: N }, (_, n) => 100 + 7 * n);
    const expected = Array.from(
      { length: N * D },
      (_, i) => times[Math.floor(i / D)] + Math.floor(i / D) / 8 + i / 3,
    );
    const equation = (t: number, n: number) => (i: number) => t + n / 8 + i / 3;
    assertEquals(Array.from(elementwiseDoubles(of, times, equation)), expected);
    const rounded = elementwise(of, times, equation);
    assertEquals(rounded.shape, of);
    assertEquals(Array.from(rounded.data), expected.map(Math.fround));
    const visited: number[][] = [];
    forEachSample(of, (n, start, end) => visited.push([n, start, end]));
    assertEquals(visited, times.map((_, n) => [n, n * D, n * D + D]));
  });
  assertEquals(samplesOf([]), 1);
  assertEquals(Array.from(elementwiseDoubles([], 3, (t) => (i) => t + i)), [3]);
  assertEquals(elementwiseDoubles([0, 4], 3, () => () => 1).length, sizeOf([0, 4]));
});
