/**
 * The mistakes that people make in shaders, as operators on the text of WGSL in template literals and
 * strings: by tokens of a line, between one `${…}` and the next.
 *
 * @module
 */
import ts from "typescript";
import type { Context, Edit, Operator } from "./syntax.ts";

/** A part of a line of WGSL. */
interface Fragment {
  readonly text: string;
  /** Place in the file. */
  readonly start: number;
  /** Whether it goes to the end of its line, not to a `${`. */
  readonly ends: boolean;
  /** The text of the unit that it is part of. */
  readonly unit: string;
}

/** A replacement within a fragment. */
interface Change {
  readonly at: number;
  readonly length: number;
  readonly after: string;
}

/** What a string must contain to be WGSL: an operation between two operands. */
const OPERATION = /[\w)\]] [-+*/] [\w(]/;

/** Whether a string is what an elementwise kernel computes. */
function isMapValue({ parent }: ts.Node): boolean {
  return ts.isPropertyAssignment(parent) && parent.name.getText() === "value";
}

/** The inside of a piece of a template, or of a string that is WGSL. */
function inside(node: ts.Node): { start: number; end: number } | null {
  const start = node.getStart() + 1;
  if (ts.isTemplateHead(node) || ts.isTemplateMiddle(node)) return { start, end: node.end - 2 };
  if (ts.isTemplateTail(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
    return { start, end: node.end - 1 };
  }
  return ts.isStringLiteral(node) && (OPERATION.test(node.text) || isMapValue(node))
    ? { start, end: node.end - 1 }
    : null;
}

function fragmentsOf(node: ts.Node, { unitStart, unitEnd }: Context): Fragment[] {
  const range = inside(node);
  if (range === null) return [];
  const { text } = node.getSourceFile(), unit = text.slice(unitStart, unitEnd);
  const fragments: Fragment[] = [];
  let start = range.start;
  const lines = text.slice(range.start, range.end).split("\n");
  for (const [i, line] of lines.entries()) {
    const space = line.length - line.trimStart().length;
    if (line.trim() !== "" && !line.trim().startsWith("//")) {
      const ends = i < lines.length - 1 || text[range.end] !== "$";
      fragments.push({ text: line.trim(), start: start + space, ends, unit });
    }
    start += line.length + 1;
  }
  return fragments;
}

/** An operator that makes `changes` in fragments; each mutant is shown with its whole fragment. */
function onFragments(changes: (fragment: Fragment) => Change[]): Operator {
  return (node, context) =>
    fragmentsOf(node, context).flatMap((fragment) =>
      changes(fragment).map(({ at, length, after }): Edit => ({
        node,
        range: { start: fragment.start, end: fragment.start + fragment.text.length },
        after: fragment.text.slice(0, at) + after + fragment.text.slice(at + length),
      }))
    );
}

/** Every match of `pattern`, replaced. */
function replacing(
  pattern: RegExp,
  replacement: (match: RegExpExecArray, fragment: Fragment) => string | null,
): Operator {
  return onFragments((fragment) =>
    [...fragment.text.matchAll(pattern)].flatMap((match) => {
      const after = replacement(match, fragment);
      return after === null ? [] : [{ at: match.index, length: match[0].length, after }];
    })
  );
}

function both(...operators: readonly Operator[]): Operator {
  return (node, context) => operators.flatMap((operator) => operator(node, context));
}

const OTHER_SIGN: Readonly<Record<string, string>> = { "+": "-", "-": "+" };

/** Names that are mistaken for each other, with or without `p.` before them. */
const CONFUSED: readonly (readonly [string, string])[] = [
  ["H", "W"],
  ["outH", "outW"],
  ["kx", "ky"],
  ["ox", "oy"],
  ["lastX", "lastY"],
  ["top", "left"],
  ["top", "bottom"],
  ["left", "right"],
  ["tileX", "tileY"],
  ["tilesX", "tilesY"],
  ["tx", "ty"],
  ["m0", "n0"],
  ["M", "N"],
  ["C", "O"],
  ["K1", "K2"],
  ["aK1", "aK2"],
  ["bK1", "bK2"],
  ["aI", "bI"],
  ["aB1", "aB2"],
  ["bB1", "bB2"],
  ["b1", "b2"],
  ["row", "column"],
  ["rows", "columns"],
  ["inside", "outside"],
  ["strideInside", "strideOutside"],
  ["strideC", "strideN"],
  ["strideC", "strideP"],
  ["fromC", "fromN"],
  ["toC", "toN"],
  ["group", "n"],
  ["mean", "rstd"],
  ["meanG", "meanGX"],
  ["meanC", "meanG"],
  ["sum", "sumX"],
  ["sumV", "sumVX"],
  ["squaresC", "squaresG"],
  ["share1", "share2"],
  ["oldM", "oldV"],
  ["newM", "newV"],
  ["coupledDecay", "decoupledDecay"],
  ["xAt", "yAt"],
  ["dXAt", "dYAt"],
  ["uAt", "cAt"],
  ["xOffset", "xStride"],
  ["yOffset", "yStride"],
  ["fromX0", "fromX"],
  ["x0FromX", "x0FromOutput"],
  ["high0", "high1"],
  ["low0", "low1"],
];

function word(name: string): RegExp {
  return new RegExp(`\\b${name}\\b`);
}

/** A name for the one that it is mistaken for, where the shader has both. */
const otherName = onFragments(({ text, unit }) =>
  CONFUSED.flatMap((pair) => [pair, [pair[1], pair[0]] as const]).flatMap(([name, other]) =>
    word(other).test(unit)
      // A declaration keeps its name; neither a component nor a function's name is one of these.
      ? [
        ...text.matchAll(
          new RegExp(`(?<!(let|var|fn) )(?<!(?<!\\bp)\\.)\\b${name}\\b(?!\\()`, "g"),
        ),
      ]
        .map((match) => ({ at: match.index, length: name.length, after: other }))
      : []
  )
);

/** `X[i]` → `X[i + 1]`. */
const nextElement = onFragments(({ text }) =>
  [...text.matchAll(/\[([^[\]]*\w[^[\]]*)\]/g)].filter(([, index]) => !/^\d+u?$/.test(index)).map(
    ({ index, 0: { length } }) => ({ at: index + length - 1, length: 1, after: " + 1u]" }),
  )
);

/** These operators by name. */
export const WGSL_OPERATORS: Readonly<Record<string, Operator>> = {
  "wgsl-sign": replacing(
    / ([-+])(=?) /g,
    ([, sign, equals]) => ` ${OTHER_SIGN[sign]}${equals} `,
  ),
  "wgsl-boundary": replacing(
    / (<=?|>=?) /g,
    ([, operator]) => ` ${operator.length === 2 ? operator[0] : `${operator}=`} `,
  ),
  "wgsl-short-loop": both(
    replacing(/ < ([^;]+);(?= \w+ ?(\+\+|\+=))/g, ([, end]) => ` + 1u < ${end};`),
    replacing(/ > 0u;/g, () => " > 1u;"),
    replacing(/(?<=for \(var \w+ = )(\w+)(?=[; ])/g, ([, from]) => `1u + ${from}`),
  ),
  "wgsl-guard": both(
    replacing(/if \(.+\) \{ return; \}/g, () => ""),
    // All invocations have the same value where one of them writes it.
    replacing(
      /if \((.+)\) \{$/g,
      ([, condition]) => condition === "lane == 0u" ? null : "if (true) {",
    ),
  ),
  "wgsl-barrier": replacing(/workgroupBarrier\(\);/g, () => ""),
  "wgsl-index": nextElement,
  "wgsl-min-max": replacing(/\b(min|max)\(/g, ([, name]) => name === "min" ? "max(" : "min("),
  "wgsl-other-name": otherName,
  "wgsl-drop-term": both(
    replacing(/ [-+*/] -?[\w.]+(?=[;,)\]} ])/g, () => ""),
    replacing(/ [-+*/] -?[\w.]+$/g, (_, { ends }) => ends ? "" : null),
  ),
  "wgsl-negate": (node, context) =>
    isMapValue(node) ? replacing(/^.+$/g, ([value]) => `-(${value})`)(node, context) : [],
  "wgsl-drop-old": replacing(/ \+= /g, () => " = "),
  "wgsl-constant": both(
    replacing(/\b(\d+)u\b/g, ([, n]) => `${Number(n) + 1}u`),
    replacing(/\b([1-9]\d*)u\b/g, ([, n]) => `${Number(n) - 1}u`),
    replacing(/\b(\d+)\.0\b/g, ([, n]) => `${Number(n) + 1}.0`),
  ),
  "wgsl-logic": replacing(/ && /g, () => " || "),
  "wgsl-swap-operands": replacing(
    /(?<![\w.] [*/] )(?<![\w.])([\w.]+) ([-/]) ([\w.]+)(?=[;,)\]])/g,
    ([, a, operator, b]) => `${b} ${operator} ${a}`,
  ),
  "wgsl-divide": both(
    replacing(/ % /g, () => " / "),
    replacing(/ \/ /g, () => " * "),
  ),
  "wgsl-select": replacing(
    /select\(([\w.]+(?:\(\))?), ([\w.]+),/g,
    ([, a, b]) => `select(${b}, ${a},`,
  ),
};
