/**
 * What a verification found.
 *
 * @module
 */
import type { Precision } from "./model.ts";

/** Numbers of another length or shape than they should have, both in words: `7 values`. */
export interface FormDifference {
  /** The field of the result. */
  readonly field: string;
  /** The reference's form. */
  readonly expected: string;
  /** The candidate's. */
  readonly got: string;
}

/** A request that a candidate answers wrongly, as small as it was found. */
export interface Failure {
  /** The request, without its id. */
  readonly request: Readonly<Record<string, unknown>>;
  /** The field of the result that is furthest off; null if the request was refused or a form differs. */
  readonly field: string | null;
  /** The index in the field's row-major values; null for a single number. */
  readonly index: number | null;
  /** The reference's value. */
  readonly expected: number | null;
  /** The candidate's value. */
  readonly got: number | null;
  /** The largest difference that rounding explains. */
  readonly bound: number | null;
  /** What differs if it is not a value but a length or a shape. */
  readonly form: FormDifference | null;
  /** The computation whose rounding errors make the bound. */
  readonly formula: string;
  /** What went wrong in one sentence. */
  readonly message: string;
  /** A known mistake that gives the candidate's answers, or null. */
  readonly cause: string | null;
}

/** Whether an operation was judged, and how. */
export type Verdict = "conforms" | "deviates" | "not covered" | "broke";

/** What was found for one operation. */
export interface OpReport {
  /** Its name. */
  readonly op: string;
  /** Whether all its answers were within their bounds. */
  readonly verdict: Verdict;
  /** How many requests were judged, those of shrinking not counted. */
  readonly requests: number;
  /** The worst error in units of its bound. */
  readonly worst: number;
  /** What was not judged, and why. */
  readonly notCovered: readonly string[];
  /** The smallest failing request of a deviation, or the last one before the candidate broke. */
  readonly failure: Failure | null;
}

/** What was found. */
export interface Report {
  /** How the candidate calls itself. */
  readonly candidate: string;
  /** Number format whose rounding is allowed. */
  readonly precision: Precision;
  /** Seed of the draws. */
  readonly seed: number;
  /** Draws per operation that were asked for. */
  readonly runs: number;
  /** The operations in the protocol's order. */
  readonly ops: readonly OpReport[];
  /** What holds for the candidate as a whole. */
  readonly notes: readonly string[];
  /** The worst of the operations' verdicts; `not covered` if nothing was judged. */
  readonly verdict: Verdict;
}

/** The verdict of a whole report. */
export function overall(ops: readonly OpReport[]): Verdict {
  const worst = (["broke", "deviates", "conforms"] as const)
    .find((verdict) => ops.some((op) => op.verdict === verdict));
  return worst ?? "not covered";
}

function cell(value: string, width: number): string {
  return value.padEnd(width);
}

/** A number in few digits. */
function short(value: number): string {
  if (value === 0) return "0";
  return value >= 0.01 && value < 1e4 ? value.toFixed(2) : value.toExponential(1);
}

/** The report's table, one operation a line. */
export function tableOf(report: Report): string {
  const rows = report.ops.map(({ op, requests, verdict, worst, notCovered }) => [
    op,
    requests === 0 ? "-" : String(requests),
    verdict,
    requests === 0 ? "-" : short(worst),
    notCovered.join("; "),
  ]);
  const head = ["op", "requests", "verdict", "worst", "not covered"];
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i].length))
  );
  return [head, ...rows]
    .map((row) => row.map((value, i) => i < 4 ? cell(value, widths[i] + 2) : value).join(""))
    .map((line) => line.trimEnd())
    .join("\n");
}

/** A failure in lines of text. @param replay the command that repeats it, or null. */
export function failureText(op: string, failure: Failure, replay: string | null): string {
  const { field, index, expected, got, bound, form, formula, message, cause } = failure;
  const lines = [`${op}: ${message}`, `  request   ${JSON.stringify(failure.request)}`];
  if (field !== null) {
    const where = index === null ? field : `${field}[${index}]`;
    lines.push(
      `  at        ${where}`,
      `  expected  ${expected}`,
      `  got       ${got}`,
      `  bound     ${short(bound ?? 0)} = rounding errors of ${formula}`,
    );
  }
  if (form !== null) {
    lines.push(
      `  at        ${form.field}`,
      `  expected  ${form.expected}`,
      `  got       ${form.got}`,
    );
  }
  if (cause !== null) lines.push(`  likely    ${cause}`);
  if (replay !== null) lines.push(`  replay    ${replay}`);
  return lines.join("\n");
}

function escaped(text: string): string {
  return text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`)
    // Characters that XML 1.0 cannot hold.
    // deno-lint-ignore no-control-regex
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "�");
}

/** The report as JUnit's XML, which CI systems show. */
export function junitOf(report: Report): string {
  const cases = report.ops.map(({ op, verdict, failure, notCovered }) => {
    const name = `<testcase classname="${escaped(report.candidate)}" name="${op}">`;
    const text = failure === null ? "" : escaped(failureText(op, failure, null));
    const message = escaped(failure?.message ?? notCovered.join("; "));
    const inside = verdict === "deviates"
      ? `<failure message="${message}">${text}</failure>`
      : verdict === "broke"
      ? `<error message="${message}">${text}</error>`
      : verdict === "not covered"
      ? `<skipped message="${message}"/>`
      : "";
    return `    ${name}${inside}</testcase>`;
  });
  const count = (verdict: Verdict) => report.ops.filter((op) => op.verdict === verdict).length;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    "<testsuites>",
    `  <testsuite name="verify" tests="${report.ops.length}" failures="${count("deviates")}" ` +
    `errors="${count("broke")}" skipped="${count("not covered")}">`,
    ...cases,
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}
