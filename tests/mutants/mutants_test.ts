/** What `deno task mutants` promises about its choice, without running it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  allMutants,
  chosen,
  fnv1a,
  type Mutant,
  mutated,
  sample,
  targetsOf,
} from "./candidates.ts";
import { EQUIVALENT } from "./equivalent.ts";
import { OPERATORS } from "./operators.ts";
import { parse, sourcesUnder } from "./program.ts";

const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const program = parse(sourcesUnder(`${root}/src/reference`));
const possible = allMutants(program, root);
const fixed = chosen(possible.filter(({ id }) => !(id in EQUIVALENT)));
const text = (mutant: Mutant) => Deno.readTextFileSync(`${root}/${mutant.file}`);

Deno.test("every exported function of the reference has a mutant, and every operator several", () => {
  const has = new Set(fixed.map(({ file, unit }) => `${file} ${unit}`));
  const without = targetsOf(program, root)
    .filter(({ file, units }) => !units.some((unit) => has.has(`${file} ${unit}`)))
    .map(({ name }) => name);
  assertEquals(without, []);
  assert(fixed.length >= 60);
  for (const operator of Object.keys(OPERATORS)) {
    const of = (all: readonly Mutant[]) => all.filter((m) => m.operator === operator).length;
    assert(of(fixed) >= Math.min(of(possible), 2), operator);
    assert(of(possible) > 0, operator);
  }
});

Deno.test("the choice is fixed: it depends on what a mutant is, not on where it stands or its order", () => {
  const ids = (mutants: readonly Mutant[]) => mutants.map(({ id }) => id).sort();
  const elsewhere = possible.toReversed().map((mutant) => ({ ...mutant, line: mutant.line + 7 }))
    .filter(({ id }) => !(id in EQUIVALENT));
  assertEquals(ids(chosen(elsewhere)), ids(fixed));
  assertEquals(new Set(ids(possible)).size, possible.length);
  // A smaller sample is part of a larger one.
  const [few, more] = [sample(fixed, 20), sample(fixed, 40)].map(ids);
  assertEquals(few.length, 20);
  assert(few.every((id) => more.includes(id)));
  assertEquals(fnv1a("posterior"), fnv1a("posterior"));
});

Deno.test("every chosen mutant is a program that differs from the original", () => {
  for (const mutant of fixed) {
    const original = text(mutant);
    assert(mutated(original, mutant) !== original);
  }
  assertThrows(() => mutated(" " + text(fixed[0]), fixed[0]), Error, "as it was when it was read");
});

Deno.test("no mutant is in an error's sentence, a comment or an import", () => {
  for (const mutant of possible) {
    const line = text(mutant).split("\n")[mutant.line - 1].trim();
    assert(!/^(\*|\/\/|\/\*\*|import |throw )/.test(line), `${mutant.file}: ${line}`);
    assert(!/^`?Expected /.test(mutant.before), mutant.before);
  }
});

Deno.test("a mutant that is called equivalent exists, and says why", () => {
  for (const [id, proof] of Object.entries(EQUIVALENT)) {
    assert(possible.some((mutant) => mutant.id === id), id);
    assert(proof.length > 20, id);
  }
});
