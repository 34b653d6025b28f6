/**
 * What the GPU bench computes from its measurements: medians, turns, the analytic minimum of memory and
 * whether a claim holds. A mistake here would make a claim hold that does not.
 */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { memoryNeed, totalNeed } from "../../bench/support/memory.ts";
import { fractionOfRoof } from "../../bench/support/profile.ts";
import { digits, holds, table } from "../../bench/support/report.ts";
import {
  inTurns,
  median,
  medianRatio,
  relativeDifference,
} from "../../bench/support/statistics.ts";
import { CIFAR10 } from "../../src/spec/unet_presets.ts";
import { unetParameterCount } from "../../src/spec/unet_parameters.ts";
import { type Phase, PlanBuilder, type PlanTensor } from "../../src/webgpu/plan.ts";
import { trainingPlan } from "../../src/webgpu/unet_plan.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";

Deno.test("median is the middle value, or the mean of the two in the middle", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 10]), 3);
  assertEquals(median([10, 9, 100]), 10);
});

Deno.test("medianRatio pairs the measurements of a round", () => {
  // The second round was slow for both: the ratio is 2 in each.
  assertEquals(medianRatio([2, 20, 4], [1, 10, 2]), 2);
});

Deno.test("inTurns alternates the order and leaves the first round out", async () => {
  const order: string[] = [];
  let clock = 0;
  const take = (name: string) => () => {
    order.push(name);
    return Promise.resolve(clock++);
  };
  const taken = await inTurns(2, { a: take("a"), b: take("b") });
  assertEquals(order.join(""), "abbaab");
  assertEquals(taken, { a: [3, 4], b: [2, 5] });
});

Deno.test("relativeDifference is ‖a − b‖/‖b‖, and infinite for another length", () => {
  assertAlmostEquals(relativeDifference([3, 4.5], [3, 4]), 0.1, 1e-15);
  assertEquals(relativeDifference([1], [1, 2]), Infinity);
  assertEquals(relativeDifference([NaN, 1], [1, 1]) <= 1, false);
});

Deno.test("a claim holds up to its limit and not beyond, and never for NaN", () => {
  const claim = (value: number) => ({ what: "", unit: "", value });
  assertEquals(holds({ ...claim(4.5), atMost: 4.5 }), true);
  assertEquals(holds({ ...claim(4.51), atMost: 4.5 }), false);
  assertEquals(holds({ ...claim(0.74), atLeast: 0.75 }), false);
  assertEquals(holds({ ...claim(NaN), atLeast: 0.75 }), false);
  assertEquals(holds({ ...claim(NaN), atMost: 4.5 }), false);
});

Deno.test("fractionOfRoof takes the nearer of the two roofs", () => {
  const roofs = { flops: 1e9, bytes: 1e8 };
  const share = { name: "", launches: 1, ms: 10 };
  assertAlmostEquals(fractionOfRoof(roofs, { ...share, flops: 5e6, bytes: 0 }), 0.5, 1e-12);
  assertAlmostEquals(fractionOfRoof(roofs, { ...share, flops: 5e6, bytes: 9e5 }), 0.9, 1e-12);
});

Deno.test("digits keeps about three of them", () => {
  assertEquals([0.01234, 3.456, 45.67, 1234.5, 0].map(digits), [
    "0.012",
    "3.46",
    "45.7",
    "1235",
    "0.000",
  ]);
  assertEquals(table([["a", "bb"], ["ccc", "d"]]), ["a    bb", "ccc   d"]);
});

/** A launch that reads tensors. */
function reading(...tensors: PlanTensor[]) {
  const operands = tensors.map((tensor) => ({ tensor, access: "read" as const }));
  return {
    ...{ kernel: "k", wgsl: "", params: [], operands },
    ...{ workgroups: [1, 1, 1] as const, flops: 0, bytes: 0 },
  };
}

Deno.test("memoryNeed counts weights as steps read them, each element once, and what is live at once", () => {
  const builder = new PlanBuilder();
  const raw = builder.tensor("parameters", "raw", 640);
  const bias = builder.tensor("parameters", "bias", 64);
  const prepared = builder.tensor("prepared", "U", 1280);
  const [a, b, c] = ["a", "b", "c"].map((label) => builder.tensor("arena", label, 128));
  const add = (phase: Phase, ...tensors: PlanTensor[]) => builder.add(phase, reading(...tensors));
  add("prepare", raw, prepared);
  add("step", prepared, bias, a, b);
  add("step", { ...bias, size: 32 }, b);
  add("step", b, c);
  const need = memoryNeed(builder.finish());
  assertEquals(need, {
    weights: 64 + 1280,
    gradients: 0,
    moments: 0,
    ema: 0,
    activations: 256,
    state: 0,
  });
  assertEquals(totalNeed(need), 64 + 1280 + 256);
});

Deno.test("training needs five numbers per parameter, its activations and what the host sees", () => {
  const variants = defaultVariants("software");
  const { plan } = trainingPlan({ config: CIFAR10, batch: 1, height: 32, width: 32, variants });
  const { weights, gradients, moments, ema } = memoryNeed(plan);
  const count = unetParameterCount(CIFAR10);
  // Tensors start at multiples of 64 elements, and the optimiser walks over what lies between.
  for (const [part, times] of [[weights, 1], [gradients, 1], [moments, 2], [ema, 1]]) {
    const share = part / (times * count);
    assertEquals(share >= 1 && share < 1.001, true, String(share));
  }
});
