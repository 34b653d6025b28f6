import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import { guide, guidedModel } from "../../src/reference/guidance.ts";
import { sampleDdim } from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { real, shape, tensorOf } from "../support/arbitraries.ts";
import { boundedTest, forAll } from "../support/property.ts";

const outputs = shape.chain((of) => fc.tuple(tensorOf(of), tensorOf(of)));
const scales = fc.oneof(real(-2, 12), fc.constantFrom(0, 1, 7.5));

/** One sample's values. */
function sampleOf({ shape, data }: Tensor, n: number): number[] {
  const D = sizeOf(shape) / shape[0];
  return Array.from(data.subarray(n * D, (n + 1) * D));
}

/** Unbiased standard deviation from all pairs: Σ_{i<j}(x_i − x_j)² = D Σ(x − x̄)². */
function pairwiseDeviation(values: readonly number[]): number {
  const D = values.length;
  let sum = 0;
  for (let i = 0; i < D; i++) for (let j = 0; j < i; j++) sum += (values[i] - values[j]) ** 2;
  return Math.sqrt(sum / D / (D - 1));
}

/** Equal as floats; a zero has no sign here. */
function assertSame(found: Tensor, expected: Tensor): void {
  assertEquals(Array.from(found.data, (x) => x + 0), Array.from(expected.data, (x) => x + 0));
  assertEquals(found.shape, expected.shape);
}

boundedTest(
  "guidance is u + s(c − u)",
  "½ulp + 8u·(|u| + |s|(|c| + |u|)) (docs/numerics.md#guidance)",
  300,
  fc.tuple(outputs, scales),
  ([[c, u], scale], bound) => {
    const found = guide(c, u, { scale });
    assertEquals(found.shape, c.shape);
    const exact = Array.from(u.data, (value, i) => value + scale * (c.data[i] - value));
    bound.checkAll(found.data, exact, (i) => {
      const size = Math.abs(u.data[i]) +
        Math.abs(scale) * (Math.abs(c.data[i]) + Math.abs(u.data[i]));
      return roundingBound(exact[i]) * (1 + U32) + 8 * U64 * size;
    });
    assertEquals(guide(c, u, { scale, rescale: 0 }), found);
  },
);

Deno.test("guidance at scale 0 is the unconditional output and at scale 1 the conditional one, to the bit", () => {
  forAll(outputs, 200, ([c, u]) => {
    assertSame(guide(c, u, { scale: 0 }), u);
    assertSame(guide(c, u, { scale: 1 }), c);
  });
  // Also where c − u rounds c away.
  const c = tensor([1, 2], [1.1, 3]), u = tensor([1, 2], [1e30, -1e30]);
  assertSame(guide(c, u, { scale: 1 }), c);
  assertSame(guide(u, c, { scale: 0 }), c);
  // At scale 1 the deviations are equal.
  assertSame(guide(c, c, { scale: 1, rescale: 0.7 }), c);
});

/** Outputs with several values that vary, in every sample, guided ones too. */
const varied = fc.tuple(outputs, scales).filter(([[c, u], scale]) =>
  Array.from({ length: c.shape[0] }, (_, n) => n).every((n) => {
    const C = sampleOf(c, n), U = sampleOf(u, n), G = U.map((x, i) => x + scale * (C[i] - x));
    return C.length > 1 && pairwiseDeviation(C) > 0.05 && pairwiseDeviation(G) > 0.05;
  })
);

boundedTest(
  "rescaling mixes in the output with each sample's conditional deviation",
  "½ulp + (32D + 64)u·size/std (docs/numerics.md#guidance)",
  300,
  fc.tuple(varied, fc.oneof(real(0, 1), fc.constantFrom(0.7, 1))),
  ([[[c, u], scale], rescale], bound) => {
    const found = guide(c, u, { scale, rescale });
    for (let n = 0; n < c.shape[0]; n++) {
      const C = sampleOf(c, n), U = sampleOf(u, n), D = C.length;
      const G = U.map((x, i) => x + scale * (C[i] - x));
      const ofC = pairwiseDeviation(C), ofG = pairwiseDeviation(G);
      const exact = G.map((g) => rescale * (g * ofC / ofG) + (1 - rescale) * g);
      // Values go into a deviation with their own errors, and D terms are summed on either side.
      const size = 4 * (1 + 2 * Math.abs(scale));
      const relative = (32 * D + 64) * U64 * (1 + 4 / ofC + size / ofG);
      const factor = rescale * ofC / ofG + 1 - rescale;
      bound.checkAll(
        sampleOf(found, n),
        exact,
        (i) =>
          roundingBound(exact[i]) * (1 + U32) +
          relative * factor * (Math.abs(G[i]) + size * U64 * 8),
        "value",
      );
      if (rescale === 1) {
        // What is stored is ½ulp off in every value, which moves a deviation by at most its root mean square.
        const stored = sampleOf(found, n);
        const off = Math.sqrt(stored.reduce((sum, x) => sum + (U32 * x) ** 2, 0) / (D - 1));
        bound.check(pairwiseDeviation(stored), ofC, off + relative * ofC, "deviation");
      }
    }
  },
);

Deno.test("guidance treats every sample on its own, and deviations do not see a shift of both outputs", () => {
  forAll(fc.tuple(varied, real(0, 1)), 100, ([[[c, u], scale], rescale]) => {
    const options = { scale, rescale }, whole = guide(c, u, options);
    for (let n = 0; n < c.shape[0]; n++) {
      const one = (x: Tensor) => tensor([1, ...x.shape.slice(1)], sampleOf(x, n));
      assertEquals(Array.from(guide(one(c), one(u), options).data), sampleOf(whole, n));
    }
  });
  // Whole numbers stay exact. The deviation of 2c − u = [−1, 3] is twice that of c.
  const c = tensor([1, 2], [0, 2]), u = tensor([1, 2], [1, 1]);
  const up = (x: Tensor) => tensor(x.shape, x.data.map((value) => value + 8));
  assertEquals(guide(up(c), up(u), { scale: 2 }), tensor([1, 2], [7, 11]));
  assertEquals(guide(c, u, { scale: 2, rescale: 1 }), tensor([1, 2], [-0.5, 1.5]));
  assertEquals(guide(up(c), up(u), { scale: 2, rescale: 1 }), tensor([1, 2], [3.5, 5.5]));
});

Deno.test("a guided model asks for both outputs, in a loop as anywhere", async () => {
  const asked: [number, string?][] = [];
  const model = (x: Tensor, t: number, condition?: string) => {
    asked.push([t, condition]);
    return tensor(x.shape, x.data.map((value) => condition === "none" ? value / 4 : value / 2));
  };
  const x = tensor([1, 2], [1, -3]), options = { scale: 3, rescale: 0.5 };
  const guided = guidedModel(model, "none", options);
  const half = model(x, 9, "cat"), quarter = model(x, 9, "none");
  assertEquals(await guided(x, 9, "cat"), guide(half, quarter, options));
  assertEquals(asked.slice(2), [[9, "cat"], [9, "none"]]);
  asked.length = 0;
  const schedule = createSchedule({ kind: "constant", T: 2, beta: 0.25 });
  const sampling = { condition: "dog", prediction: "x0", clip: null } as const;
  const x0 = await sampleDdim(schedule, guided, x, () => x, sampling);
  assertEquals(asked, [[2, "dog"], [2, "none"], [1, "dog"], [1, "none"]]);
  // Both outputs are multiples of x, and so is all that follows.
  assertEquals(Math.fround(x0.data[1] / x0.data[0]), -3);
  await assertRejects(
    async () => await guided(x, 1),
    ArgumentError,
    "Expected a condition for the guided model but got undefined",
  );
});

Deno.test("guidance refuses other shapes, numbers out of range, and outputs without deviation", () => {
  const x = tensor([2, 2], [1, 2, 3, 5]), flat = tensor([2, 2], [1, 2, 0.1, 0.1]);
  const refused: [Parameters<typeof guide>, string][] = [
    [[x, tensor([1, 4]), { scale: 1 }], "Expected unconditional of shape [2, 2]"],
    [[x, x, { scale: NaN }], "Expected a finite number for scale"],
    [[x, x, { scale: Infinity }], "Expected a finite number for scale"],
    [[x, x, { scale: 1, rescale: NaN }], "Expected a finite number for rescale"],
    [[x, x, { scale: 1, rescale: -0.1 }], "Expected rescale in [0, 1] but got -0.1"],
    [[x, x, { scale: 1, rescale: 1.5 }], "Expected rescale in [0, 1] but got 1.5"],
    [[flat, x, { scale: 2, rescale: 1 }], "0 for the conditional output of sample 1"],
    [[x, flat, { scale: 0, rescale: 1 }], "0 for the guided output of sample 1"],
    [[tensor([1, 1], [2]), tensor([1, 1], [1]), { scale: 2, rescale: 0.5 }], "conditional output"],
  ];
  for (const [args, message] of refused) {
    assertThrows(() => guide(...args), ArgumentError, message);
  }
  assertSame(guide(flat, x, { scale: 1 }), flat);
});
