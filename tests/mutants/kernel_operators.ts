/**
 * The mistakes that people make around shaders and in them.
 *
 * @module
 */
import ts from "typescript";
import { OPERATORS } from "./operators.ts";
import { type Context, type Edit, isNumber, isValue, type Operator, typeName } from "./syntax.ts";
import { WGSL_OPERATORS } from "./wgsl_operators.ts";

/** Sizes, strides and places that are mistaken for each other. */
const CONFUSED: readonly (readonly [string, string])[] = [
  ["C", "O"],
  ["H", "W"],
  ["M", "N"],
  ["C", "P"],
  ["P", "K"],
  ["V", "T"],
  ["outH", "outW"],
  ["top", "left"],
  ["tilesX", "tilesY"],
  ["rows", "columns"],
  ["dX", "dY"],
  ["small", "large"],
  ["sinAt", "cosAt"],
];

/** One size for another, where both are in scope. */
const otherSize: Operator = (node, context) => {
  const shorthand = ts.isShorthandPropertyAssignment(node);
  const read = ts.isIdentifier(node) && isValue(node) &&
    !ts.isShorthandPropertyAssignment(node.parent);
  if (!shorthand && !read) return [];
  const own = shorthand ? node.name.text : node.text;
  const names = CONFUSED.flatMap(([a, b]) => own === a ? [b] : own === b ? [a] : []);
  const inScope = context.checker.getSymbolsInScope(node, ts.SymbolFlags.Variable);
  return names.filter((name) => inScope.some((symbol) => symbol.name === name))
    .map((name) => ({ node, after: shorthand ? `${own}: ${name}` : name }));
};

type Given = ts.PropertyAssignment | ts.ShorthandPropertyAssignment;

const isGiven = (property: ts.ObjectLiteralElementLike): property is Given =>
  ts.isPropertyAssignment(property) || ts.isShorthandPropertyAssignment(property);

const valueOf = (property: Given): ts.Expression =>
  ts.isPropertyAssignment(property) ? property.initializer : property.name;

/** `{ xi: a, c: b }` → `{ xi: b, c: a }`: strides, sizes and tensors of one type exchanged. */
const swapProperties: Operator = (node, context) => {
  if (!ts.isObjectLiteralExpression(node)) return [];
  const given = node.properties.filter(isGiven);
  return given.slice(1).flatMap((second, i): Edit[] => {
    const first = given[i], [a, b] = [first, second].map((property) => valueOf(property));
    if (a.getText() === b.getText() || typeName(context, a) !== typeName(context, b)) return [];
    if (![a, b].every((value) => isNumber(context, value) || ts.isIdentifier(value))) return [];
    const between = node.getSourceFile().text.slice(first.end, second.getStart());
    const after = `${first.name?.getText()}: ${b.getText()}${between}${second.name?.getText()}: ` +
      a.getText();
    return [{ node, range: { start: first.getStart(), end: second.end }, after }];
  });
};

const OPTIONAL =
  /^(offset|k1|b1|b2|alpha|outputScale|accumulate|turned|updates|bias|perSample|residual)$/;

/** Leaves out what has a default: an offset, the stride of the batch, `accumulate`. */
const dropProperty: Operator = (node, { checker }) => {
  if (!ts.isObjectLiteralExpression(node)) return [];
  const wanted = checker.getContextualType(node);
  const mayMiss = (name: string): boolean => {
    const { flags = 0 } = wanted?.getProperty(name) ?? {};
    return (flags & ts.SymbolFlags.Optional) !== 0;
  };
  return node.properties.filter((property) =>
    isGiven(property) && OPTIONAL.test(property.name.getText()) && mayMiss(property.name.getText())
  ).map((property) => ({
    node,
    range: { start: property.getFullStart(), end: property.end },
    after: " ...{}",
  }));
};

/** Conditions that choose among texts for the same result. */
const ON_VARIANT = /\b(variant|shared|naive|vec4Rows|tilesInside)\b|^width === /;
/** The figures of tables. */
const FIGURES = /^(flops|bytes|kernel)$/;

/** Whether a change there can only change figures or time. */
function isAside(node: ts.Node): boolean {
  if (ts.isConditionalExpression(node) && ON_VARIANT.test(node.condition.getText())) return true;
  return ts.findAncestor(
    node,
    (at) =>
      ts.isPropertyAssignment(at) && FIGURES.test(at.name.getText()) ||
      // How many elements an invocation takes.
      ts.isCallExpression(at) && /^Math.min\(MOST_PER_INVOCATION/.test(at.getText()),
  ) !== undefined;
}

function changesResults(operator: Operator): Operator {
  return (node: ts.Node, context: Context) =>
    isAside(node) ? [] : operator(node, context).filter((edit) => !isAside(edit.node));
}

/** As for the reference, but for texts: what swaps a name and a variant is no program. */
const swapNumbers: Operator = (node, context) =>
  ts.isCallExpression(node) && node.arguments.some(ts.isStringLiteral)
    ? []
    : OPERATORS["swap-arguments"](node, context);

/** Every operator by its name. */
export const KERNEL_OPERATORS: Readonly<Record<string, Operator>> = Object.fromEntries(
  Object.entries({
    ...WGSL_OPERATORS,
    "other-size": otherSize,
    "swap-properties": swapProperties,
    "drop-property": dropProperty,
    ...OPERATORS,
    "swap-arguments": swapNumbers,
  }).map(([name, operator]) => [name, changesResults(operator)]),
);
