/**
 * What a bench's sections report: figures as text lines, and claims with what they must reach.
 *
 * @module
 */

/** A measured value against what it must reach. */
export interface Claim {
  /** What is claimed, as a sentence without its value. */
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** The largest value that is good, … */
  readonly atMost?: number;
  /** … or the smallest. */
  readonly atLeast?: number;
}

/** What a section found. */
export interface SectionReport {
  readonly title: string;
  /** Tables and remarks for the reader. */
  readonly lines: readonly string[];
  readonly claims: readonly Claim[];
  /** The figures behind them, for the JSON file. */
  readonly data: unknown;
}

/** Whether a claim holds. */
export function holds({ value, atMost = Infinity, atLeast = -Infinity }: Claim): boolean {
  return value <= atMost && value >= atLeast;
}

/** Rows as columns of text: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.map((row) => [...row[column]].length))
  );
  return rows.map((row) =>
    row.map((cell, column) => {
      const space = " ".repeat(widths[column] - [...cell].length);
      return column === 0 ? cell + space : space + cell;
    }).join("  ").trimEnd()
  );
}

/** A number with about three digits: 0.012, 3.46, 123. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return value.toFixed(size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0);
}

/** Elements of 4 bytes in MB. */
export function megabytes(elements: number): string {
  return `${(elements * 4 / 1e6).toFixed(1)} MB`;
}

/** Claims as a table that says which of them hold. */
export function claimTable(claims: readonly Claim[]): string[] {
  return table([
    ["claim", "measured", "must be", ""],
    ...claims.map((claim) => [
      claim.what,
      `${digits(claim.value)} ${claim.unit}`.trimEnd(),
      claim.atMost !== undefined
        ? `≤ ${claim.atMost}`
        : claim.atLeast !== undefined
        ? `≥ ${claim.atLeast}`
        : "",
      holds(claim) ? "holds" : "MISSED",
    ]),
  ]);
}
