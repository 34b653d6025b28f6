/**
 * The U-Net against golden outputs and gradients of the public PyTorch code, run in double.
 *
 * Each case is compared twice. In double (nothing rounded between layers) it shows that the
 * formulas are the same, as tightly as the golden data allow; in float32, as it is used, that storing
 * float32 costs no more than the bound of `rounding_study.ts`. The worst errors are printed in units of
 * their bounds.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { U32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { unetBackward, unetForward } from "../../src/reference/unet.ts";
import {
  type Entry,
  GOLDEN_UNETS,
  type GoldenUnet,
  knownEntries,
  widened,
} from "../support/golden_unets.ts";
import { lossGradient, meanSquare } from "../support/loss.ts";
import { allResults, LAMBDA, roundingSpread } from "../support/rounding_study.ts";
import { print } from "../support/print.ts";

/** Output, gradients and loss of a case as the reference computes them. */
function computed(golden: GoldenUnet): { results: Map<string, Tensor>; loss: number } {
  const { config, parameters, x, timesteps, target } = golden;
  const { output, tape } = unetForward(config, parameters, x, timesteps);
  const { dX, gradients } = unetBackward(tape, lossGradient(output, target));
  return { results: allResults({ output, dX, gradients }), loss: meanSquare(output, target) };
}

/** Asserts every known entry within its bound and returns the worst error over its bound, with its name. */
function worstRatio(
  golden: GoldenUnet,
  results: ReadonlyMap<string, Tensor>,
  bound: (name: string, entry: Entry) => number,
): { ratio: number; name: string } {
  const known = knownEntries(golden);
  assertEquals([...known.keys()].sort(), [...results.keys()].sort(), "every tensor is known");
  let worst = { ratio: 0, name: "" };
  for (const [name, entries] of known) {
    for (const entry of entries) {
      const found = results.get(name)!.data[entry.index];
      const ratio = Math.abs(found - entry.value) / bound(name, entry);
      assert(ratio <= 1, `${name}[${entry.index}] is ${found} but should be ${entry.value}`);
      if (ratio > worst.ratio) worst = { ratio, name };
    }
  }
  return worst;
}

for (const [title, read] of GOLDEN_UNETS) {
  Deno.test(`unet in double gives output, loss and every gradient of ${title}`, () => {
    const golden = read();
    const { results, loss } = computed(widened(golden));
    // The golden data's own noise is below 1e−13 (their README: another evaluation order, inputs
    // perturbed by 3e−16), for the output relative to 1 + |value|; a gradient's is taken relative to
    // the largest entry of its tensor, 1e−16 being what is left of identically zero ones.
    const largest = new Map(
      [...results].map(([k, r]) => [k, Math.max(1e-3, ...r.data.map(Math.abs))]),
    );
    const worst = worstRatio(
      golden,
      results,
      (name, { value, given }) =>
        given + 1e-13 * (name === "output" ? 1 + Math.abs(value) : largest.get(name)!),
    );
    print(`worst error ${worst.ratio.toFixed(3)} of its bound, in ${worst.name}`);
    assertLess(Math.abs(loss - golden.loss), 1e-13 * (1 + golden.loss));
  });

  Deno.test(`unet in float32 stays within the rounding of its stores for ${title}`, () => {
    const golden = read();
    const wide = widened(golden);
    const { config, parameters, x, timesteps, target } = wide;
    const exact = computed(wide).results;
    const spread = roundingSpread(config, parameters, x, timesteps, target, exact, {
      u: U32,
      runs: 8,
    });
    const worst = worstRatio(
      golden,
      computed(golden).results,
      (name, { index, given }) => given + LAMBDA * spread.get(name)![index],
    );
    print(`worst error ${worst.ratio.toFixed(3)} of its bound, in ${worst.name}`);
  });
}
