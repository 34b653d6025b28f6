/**
 * Known mistakes as other ways to answer a request.
 *
 * @module
 */
import type { Schedule } from "../../../reference/schedule.ts";
import type { ScheduleConfig } from "../../../spec/schedule_config.ts";
import type { Request } from "../draw/parts.ts";
import type { Judge } from "../judge.ts";
import { type Leaf, leavesOf } from "../leaves.ts";

/** What a mistake makes of a request. */
export interface Alternative {
  /** The mistake as a likely cause. */
  readonly cause: string;
  /** The answer, or null where the mistake does not apply. May throw where it cannot be given. */
  readonly answer: (request: Request, judge: Judge) => readonly Leaf[] | null;
}

/** A mistake that answers another request: `change` returns its fields that differ. */
export function asking(
  cause: string,
  change: (request: Request) => Readonly<Record<string, unknown>> | null,
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      const changes = change(request);
      return changes === null ? null : leavesOf(judge.reference({ ...request, ...changes }));
    },
  };
}

/** A mistake in an option that a request has: other values of it are tried. */
export function option(
  name: string,
  values: readonly unknown[],
  cause: (value: unknown) => string,
): Alternative[] {
  return values.map((value) =>
    asking(
      cause(value),
      (request) => name in request && request[name] !== value ? { [name]: value } : null,
    )
  );
}

/** A mistake in the process's tables. */
export function withTables(
  cause: string,
  change: (schedule: Schedule, config: ScheduleConfig) => Partial<Schedule> | null,
): Alternative {
  return {
    cause,
    answer: (request, judge) => {
      if (request.schedule === undefined || request.op === "schedule") return null;
      const schedule = judge.scheduleOf(request);
      // The reference has read it: the JSON has the config's form.
      const changes = change(schedule, request.schedule as ScheduleConfig);
      return changes === null
        ? null
        : leavesOf(judge.referenceWith(request, { ...schedule, ...changes }));
    },
  };
}

/** A mistake in the schedule's rule: `change` returns its fields that differ. */
export function withRule(
  cause: string,
  change: (schedule: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>> | null,
): Alternative {
  return asking(cause, (request) => {
    const { schedule } = request;
    if (typeof schedule !== "object" || schedule === null) return null;
    const changes = change({ ...schedule });
    return changes === null ? null : { schedule: { ...schedule, ...changes } };
  });
}

/** A mistake in fields of the result: `change` maps a value and its index. */
export function withValues(
  cause: string,
  fields: readonly string[] | null,
  change: (value: number, leaf: Leaf, request: Request) => number,
): Alternative {
  return {
    cause,
    answer: (request, judge) =>
      leavesOf(judge.reference(request)).map((leaf) =>
        fields === null || fields.includes(leaf.path)
          ? { ...leaf, values: Array.from(leaf.values, (v) => change(v, leaf, request)) }
          : leaf
      ),
  };
}

/** A leaf of a list by its path. */
export function leafAt(leaves: readonly Leaf[], path: string): Leaf {
  const found = leaves.find((leaf) => leaf.path === path);
  if (found === undefined) throw new Error(`there is no ${path}`);
  return found;
}

/** A tensor's values in a request. */
export function dataOf(request: Request, name: string): readonly number[] {
  return (request[name] as { readonly data: readonly number[] }).data;
}

/** A tensor of a request with its values mapped. */
export function mapped(
  request: Request,
  name: string,
  change: (value: number, i: number) => number,
): Readonly<Record<string, unknown>> {
  const { shape } = request[name] as { readonly shape: readonly number[] };
  return { [name]: { shape, data: dataOf(request, name).map(change) } };
}
