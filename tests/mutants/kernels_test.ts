/** What `deno task mutants:kernels` promises about its choice, without running it. */
import { assert, assertEquals } from "@std/assert";
import { chosen, mutated } from "./candidates.ts";
import { kernelCampaign } from "./kernels.ts";

const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const { possible, equivalent, targets, quota } = kernelCampaign(root);
const fixed = chosen(possible.filter(({ id }) => !(id in equivalent)), quota);

Deno.test("every exported function of the kernels has a mutant, and shaders have as many as code", () => {
  const has = new Set(fixed.map(({ file, unit }) => `${file} ${unit}`));
  const without = targets.filter(({ file, units }) => !units.some((u) => has.has(`${file} ${u}`)));
  assertEquals(without.map(({ name }) => name), []);
  assert(fixed.filter(({ operator }) => operator.startsWith("wgsl-")).length >= 40);
});

Deno.test("every chosen mutant of a kernel is a program, and those called equivalent exist", () => {
  for (const mutant of fixed) {
    const original = Deno.readTextFileSync(`${root}/${mutant.file}`);
    assert(mutated(original, mutant) !== original);
  }
  for (const id of Object.keys(equivalent)) assert(possible.some((m) => m.id === id), id);
});
