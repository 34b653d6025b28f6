/**
 * Comparing a candidate's answer with the reference's under the bound of its operation.
 *
 * @module
 */
import { roundingBound } from "../../math/float32.ts";
import type { Tensor } from "../../math/tensor.ts";
import type { Schedule } from "../../reference/schedule.ts";
import type { ScheduleConfig } from "../../spec/schedule_config.ts";
import { type Context, isObject } from "../fields.ts";
import { ops } from "../ops/mod.ts";
import { scheduleField } from "../options.ts";
import type { Result } from "../result.ts";
import { ScheduleCache } from "../schedule_cache.ts";
import { BOUNDS } from "./bounds/mod.ts";
import type { Request } from "./draw/parts.ts";
import { tensorsOf, weightsOf } from "./networks.ts";
import { FormError, type Leaf, leavesOf, readLeaf } from "./leaves.ts";
import { type Bounds, coefficientUnit, Model, type Precision, type Road } from "./model.ts";
import type { FormDifference } from "./report.ts";
import { ApproxSchedule, ownTables, ruleTableErrors, type TableErrors } from "./tables.ts";

/** Orders of operations other than the analysed ones may cost as much again. */
const OTHER_ORDERS = 2;

/** A number that differs from the reference's by more than its bound. */
export interface Difference {
  /** The field of the result. */
  readonly field: string;
  /** The index in its row-major values; null for a single number. */
  readonly index: number | null;
  /** The reference's value. */
  readonly expected: number;
  /** The candidate's. */
  readonly got: number;
  /** The largest difference that rounding explains. */
  readonly bound: number;
}

/** How a result compares: the worst error in units of its bound, and where it exceeds 1 most. */
export interface Comparison {
  /** Largest error over bound; Infinity where a bound of 0 is missed. */
  readonly worst: number;
  /** The worst difference beyond its bound, or the first of form; null if there is none. */
  readonly difference: Difference | FormDifference | null;
}

/** What an expected result allows. */
export interface Expectation {
  /** The numbers by field. */
  readonly leaves: readonly Leaf[];
  /** How far a number may be off. */
  readonly boundOf: (leaf: Leaf, i: number) => number;
}

/** Reads a file that a request names. */
export type ReadFile = (path: string) => Uint8Array;

function noFile(): never {
  throw new Error("drawn requests have no files");
}

/** A cache that returns one process whatever it is asked for. */
class OneSchedule extends ScheduleCache {
  readonly #schedule: Schedule;

  constructor(schedule: Schedule) {
    super();
    this.#schedule = schedule;
  }

  override get(_config: ScheduleConfig): Schedule {
    return this.#schedule;
  }
}

function contextWith(schedules: ScheduleCache, readFile: ReadFile = noFile): Context {
  return { host: { version: "0", readFile, writeFile: noFile }, schedules };
}

/** What the reference makes of a request, with the tensors that it writes in the field `out`. */
function referenceResult(request: Request, context: Context): Result {
  const written: Readonly<Record<string, Tensor>>[] = [];
  const writeFile = (_: string, bytes: Uint8Array) => void written.push(tensorsOf(bytes));
  const host = { ...context.host, writeFile };
  const result = ops[request.op]({ path: "", values: request, context: { ...context, host } });
  return written.length === 0 ? result : { ...result, out: written[0] };
}

/** A process with the errors that tables may have on a road. */
export interface JudgedSchedule {
  /** The tables. */
  readonly schedule: Schedule;
  /** What may be wrong with them. */
  readonly errors: TableErrors;
}

/** Expected results of one precision, from the reference's tables or a candidate's own. */
export class Judge {
  readonly #precision: Precision;
  readonly #readFile: ReadFile;
  readonly #schedules = new ScheduleCache();
  readonly #steps = new Map<string, ApproxSchedule>();
  /** Expectations of the latest request by road. */
  #latest: { readonly request: Request; readonly roads: Map<Road, Expectation> } | null = null;

  /** @param readFile reads files that requests name, but for weights that were drawn. */
  constructor(precision: Precision, readFile: ReadFile = noFile) {
    this.#precision = precision;
    this.#readFile = readFile;
  }

  /** What the reference reads a request with. */
  contextOf(request: Request): Context {
    if (request.op !== "unet") return contextWith(this.#schedules);
    const readFile = (path: string) =>
      path === request.weights ? weightsOf(request, this.#readFile) : this.#readFile(path);
    return contextWith(this.#schedules, readFile);
  }

  /** The reference's result. @throws {Error} if the reference refuses the request. */
  reference(request: Request): Result {
    return referenceResult(request, this.contextOf(request));
  }

  /** The process of a request. @throws {Error} if it has none. */
  scheduleOf(request: Request): Schedule {
    return scheduleField({ path: "", values: request, context: this.contextOf(request) });
  }

  /** The reference's result with other tables. */
  referenceWith(request: Request, schedule: Schedule): Result {
    return referenceResult(request, contextWith(new OneSchedule(schedule)));
  }

  /** The process of a request with the errors of tables made on `road` from the rule on. */
  ruleSchedule(request: Request, road: Road): JudgedSchedule {
    const schedule = this.scheduleOf(request);
    const u = coefficientUnit(this.#precision, road);
    // The reference has read it: the JSON has the config's form.
    const config = request.schedule as ScheduleConfig;
    return { schedule, errors: ruleTableErrors(config, schedule, u) };
  }

  /** The process of a request by the candidate's own ᾱ. */
  ownSchedule(request: Request, alphaBar: readonly number[]): JudgedSchedule {
    const schedule = this.scheduleOf(request);
    return ownTables(schedule, alphaBar, coefficientUnit(this.#precision, "own"));
  }

  /** What is expected on a road; `own` are tables that replace the reference's. */
  expectation(request: Request, road: Road, own?: JudgedSchedule): Expectation {
    if (own !== undefined) return this.#expectation(request, road, own);
    if (this.#latest?.request !== request) this.#latest = { request, roads: new Map() };
    const { roads } = this.#latest;
    const known = roads.get(road) ?? this.#expectation(request, road);
    roads.set(road, known);
    return known;
  }

  #expectation(request: Request, road: Road, own?: JudgedSchedule): Expectation {
    const context = own === undefined
      ? this.contextOf(request)
      : contextWith(new OneSchedule(own.schedule));
    const result = referenceResult(request, context);
    const model = new Model(
      this.#precision,
      road,
      (_, c) =>
        own === undefined
          ? this.#ruleSteps(request, road, c)
          : new ApproxSchedule(own.schedule, own.errors, c),
    );
    // An answer that has every digit needs none.
    let bounds: Bounds | null = null;
    return {
      leaves: leavesOf(result),
      boundOf: (leaf, i) => {
        bounds ??= BOUNDS[request.op].bounds({ path: "", values: request, context }, model);
        const allowed = bounds[leaf.path]?.[i];
        if (allowed === undefined) return 0;
        // The reference's own tensors are rounded to float32.
        const stored = leaf.shape === null ? 0 : roundingBound(leaf.values[i]);
        return OTHER_ORDERS * allowed.e + stored;
      },
    };
  }

  #ruleSteps(request: Request, road: Road, c: ApproxSchedule["c"]): ApproxSchedule {
    const key = `${road} ${JSON.stringify(request.schedule)}`;
    const known = this.#steps.get(key);
    if (known !== undefined) return known;
    const { schedule, errors } = this.ruleSchedule(request, road);
    const steps = new ApproxSchedule(schedule, errors, c);
    if (this.#steps.size >= 32) this.#steps.clear();
    this.#steps.set(key, steps);
    return steps;
  }
}

/** The numbers of a field, or how their form differs. */
function readOrDifference(result: unknown, leaf: Leaf): readonly number[] | FormDifference {
  try {
    return readLeaf(result, leaf);
  } catch (error) {
    if (!(error instanceof FormError)) throw error;
    const { expected, got } = error;
    return { field: leaf.path, expected, got };
  }
}

/** Compares a candidate's result with an expectation. @throws {BrokenError} for what is no numbers. */
export function compare(result: unknown, { leaves, boundOf }: Expectation): Comparison {
  let worst = 0;
  let difference: Comparison["difference"] = null;
  for (const leaf of leaves) {
    const got = readOrDifference(result, leaf);
    if ("field" in got) return { worst: Infinity, difference: got };
    for (let i = 0; i < got.length; i++) {
      const expected = leaf.values[i];
      if (got[i] === expected) continue;
      const bound = boundOf(leaf, i);
      const distance = Math.abs(got[i] - expected);
      // An infinite value has to be met exactly. Elsewhere a bound that says nothing allows anything,
      // the Infinity of a divisor that rounding took to 0 too.
      const ratio = bound === Infinity && Number.isFinite(expected)
        ? 0
        : Number.isFinite(distance)
        ? distance / bound
        : Infinity;
      if (ratio <= 1) {
        worst = Math.max(worst, ratio);
        continue;
      }
      if (difference !== null && !(ratio > worst)) continue;
      worst = ratio;
      difference = {
        field: leaf.path,
        index: leaf.scalar ? null : i,
        expected,
        got: got[i],
        bound,
      };
    }
  }
  return { worst, difference };
}

/** Whether a request says what its process is. */
export function hasSchedule(request: Request): boolean {
  return isObject(request.schedule);
}
