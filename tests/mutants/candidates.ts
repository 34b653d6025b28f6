/**
 * Every mutant that the operators can make, and the fixed choice of those that are run. The choice
 * hashes what a mutant is (function, operator, text), never whether it is caught, and not where it
 * stands in the file, so that it survives edits elsewhere.
 *
 * @module
 */
import ts from "typescript";
import { OPERATORS } from "./operators.ts";
import type { Program } from "./program.ts";
import type { Operator } from "./syntax.ts";
import { referencesOf, type Unit, unitsOf, visitUnit } from "./units.ts";

/** One mistake in one place. */
export interface Mutant {
  /** Short name, stable under edits elsewhere. */
  readonly id: string;
  /** Path of the file, from the project's root. */
  readonly file: string;
  readonly line: number;
  /** The function or constant whose text changes. */
  readonly unit: string;
  /** Whether the unit is exported. */
  readonly exported: boolean;
  readonly operator: string;
  /** Range of the file's text that is replaced. */
  readonly start: number;
  readonly end: number;
  readonly before: string;
  readonly after: string;
}

/** An exported function and the units whose mutants are mutants of it. */
export interface Target {
  readonly file: string;
  readonly name: string;
  /** Itself, then the private helpers that it reaches in its file. */
  readonly units: readonly string[];
}

/** FNV-1a, 32 bits. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  // FNV's low bits vary little with the last letters: mix.
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b) >>> 0;
  return (hash ^ hash >>> 13) >>> 0;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > 100 ? `${line.slice(0, 97)}…` : line;
}

function mutantsOfUnit(
  unit: Unit,
  file: string,
  checker: ts.TypeChecker,
  operators: Readonly<Record<string, Operator>>,
): Mutant[] {
  const { source } = unit;
  const first = unit.parameters[0] ?? unit.body;
  const context = { checker, unitStart: first.pos, unitEnd: unit.body.end };
  const collect = (checks: boolean): Mutant[] => {
    const found: Mutant[] = [];
    const seen = new Set<string>(), copies = new Map<string, number>();
    visitUnit(unit, checks, (node) => {
      for (const [operator, apply] of Object.entries(operators)) {
        for (const { node: at, after, range } of apply(node, context)) {
          const { start, end } = range ?? { start: at.getStart(), end: at.end };
          const before = source.text.slice(start, end);
          if (after === before || seen.has(`${start} ${end} ${after}`)) continue;
          seen.add(`${start} ${end} ${after}`);
          const what = [file, unit.name, operator, before, after].join("\n");
          const copy = copies.get(what) ?? 0;
          copies.set(what, copy + 1);
          const id = fnv1a(`${what}\n${copy}`).toString(16).padStart(8, "0");
          const line = source.getLineAndCharacterOfPosition(start).line + 1;
          found.push({
            id,
            file,
            line,
            unit: unit.name,
            exported: unit.exported,
            operator,
            start,
            end,
            before,
            after,
          });
        }
      }
    });
    return found;
  };
  const computing = collect(false);
  // A function that only checks its arguments is still a function of the reference.
  return computing.length > 0 || !unit.exported ? computing : collect(true);
}

/**
 * A file's text with the mutant in it.
 *
 * @throws {Error} if the text has changed since the mutant was made, or if the result is no program:
 * it would be caught for nothing.
 */
export function mutated(text: string, mutant: Mutant): string {
  if (text.slice(mutant.start, mutant.end) !== mutant.before) {
    throw new Error(`Expected ${mutant.file} as it was when it was read but got an edited one`);
  }
  const result = text.slice(0, mutant.start) + mutant.after + text.slice(mutant.end);
  const { diagnostics = [] } = ts.transpileModule(result, { reportDiagnostics: true });
  if (diagnostics.length > 0) throw new Error(`Expected a program but got ${describe(mutant)}`);
  return result;
}

/** Constants that no equation uses: limits and lists for argument checks. */
const NOT_EQUATIONS = new Set(["MAX_T", "QUANTITIES", "KINDS", "KIND_LIST"]);

/** Everything that could be run, in the order of the files. */
export function allMutants(
  program: Program,
  root: string,
  operators: Readonly<Record<string, Operator>> = OPERATORS,
  left: ReadonlySet<string> = NOT_EQUATIONS,
): Mutant[] {
  return program.files.flatMap((source) => {
    const file = source.fileName.slice(root.length + 1);
    return unitsOf(source)
      .filter((unit) => !left.has(unit.name))
      .flatMap((unit) => mutantsOfUnit(unit, file, program.checker, operators));
  });
}

/** Every exported function with the private helpers that count toward it. */
export function targetsOf(program: Program, root: string): Target[] {
  return program.files.flatMap((source) => {
    const file = source.fileName.slice(root.length + 1);
    const units = unitsOf(source);
    const byName = new Map(units.map((unit) => [unit.name, unit]));
    return units.filter((unit) => unit.exported && unit.isFunction && !unit.isMethod).map(
      (unit): Target => {
        const reached = new Set([unit.name]);
        for (const name of reached) {
          for (const other of referencesOf(byName.get(name)!)) {
            if (byName.has(other) && !byName.get(other)!.exported) reached.add(other);
          }
        }
        return { file, name: unit.name, units: [...reached] };
      },
    );
  });
}

/** How many mutants are chosen. */
export interface Quota {
  /** Those of an exported unit: one more from each of these numbers of candidates on. */
  readonly exported: readonly number[];
  /** Those of a private one. */
  readonly private: readonly number[];
  /** Mutants that an operator has at least, if it finds so many places. */
  readonly perOperator: number;
}

const QUOTA: Quota = { exported: [0, 25, 75], private: [6, 60, 150], perOperator: 6 };

/**
 * The mutants that are run. For every unit the ones with the smallest hashes, no two by one operator
 * while others are left, its first by the operator that finds the fewest places in all: what is
 * special to these equations comes before what any program has. Then more by the operators that have
 * too few.
 */
export function chosen(mutants: readonly Mutant[], quotas: Quota = QUOTA): Mutant[] {
  const places = new Map(
    groups(mutants, ({ operator }) => operator).map((all) => [all[0].operator, all.length]),
  );
  const rank = (a: Mutant, b: Mutant) => Number(`0x${a.id}`) - Number(`0x${b.id}`);
  const rarity = (a: Mutant, b: Mutant) => places.get(a.operator)! - places.get(b.operator)!;
  const picked = new Set<Mutant>();
  for (const unit of groups(mutants, ({ file, unit }) => `${file} ${unit}`)) {
    const quota = quotas[unit[0].exported ? "exported" : "private"]
      .filter((candidates) => unit.length >= candidates).length;
    const byOperator = groups([...unit].sort(rank), ({ operator }) => operator);
    const bests = byOperator.map(([best]) => best).sort(rarity);
    const rest = [...bests.slice(1), ...byOperator.flatMap((group) => group.slice(1))];
    const order = [bests[0], ...rest.slice(0, bests.length - 1).sort(rank), ...rest];
    order.slice(0, quota).forEach((mutant) => picked.add(mutant));
  }
  for (const group of groups([...mutants].sort(rank), ({ operator }) => operator)) {
    const have = group.filter((mutant) => picked.has(mutant)).length;
    group.filter((mutant) => !picked.has(mutant)).slice(0, Math.max(quotas.perOperator - have, 0))
      .forEach((mutant) => picked.add(mutant));
  }
  return mutants.filter((mutant) => picked.has(mutant));
}

/** A subset of `size` mutants, by hash. */
export function sample(mutants: readonly Mutant[], size: number): Mutant[] {
  const order = [...mutants].sort((a, b) => fnv1a(a.id) - fnv1a(b.id));
  const taken = new Set(order.slice(0, size));
  return mutants.filter((mutant) => taken.has(mutant));
}

function groups<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  return [...Map.groupBy(items, keyOf).values()];
}

/** One line about a mutant. */
export function describe({ id, file, line, unit, operator, before, after }: Mutant): string {
  return `${id} ${file}:${line} ${unit}: ${operator}: ${shortened(before)} → ${shortened(after)}`;
}
