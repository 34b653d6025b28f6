/**
 * Questions that the operators ask about a node.
 *
 * @module
 */
import ts from "typescript";

/** What an operator may consult. */
export interface Context {
  readonly checker: ts.TypeChecker;
  /** The names that the mutated unit declares, with where they are declared. */
  readonly unitStart: number;
  readonly unitEnd: number;
}

/** A replacement of a node's text, or of a range within it. */
export interface Edit {
  readonly node: ts.Node;
  readonly after: string;
  readonly range?: { readonly start: number; readonly end: number };
}

const K = ts.SyntaxKind;

/** Whether an expression is a number. */
export function isNumber({ checker }: Context, node: ts.Node): boolean {
  return (checker.getTypeAtLocation(node).flags & ts.TypeFlags.NumberLike) !== 0;
}

/** The type of an expression in words, literal types widened. */
export function typeName({ checker }: Context, node: ts.Node): string {
  const type = checker.getTypeAtLocation(node);
  return checker.typeToString(checker.getBaseTypeOfLiteralType(type));
}

/** A binary expression of one of `kinds`, or null. */
export function binary(node: ts.Node, ...kinds: ts.SyntaxKind[]): ts.BinaryExpression | null {
  return ts.isBinaryExpression(node) && kinds.includes(node.operatorToken.kind) ? node : null;
}

/** Whether a call is of a function written `name`. */
export function isCallOf(node: ts.Node, ...names: string[]): node is ts.CallExpression {
  return ts.isCallExpression(node) && names.includes(node.expression.getText());
}

/** An expression as an operand of any operator. */
export function operand(node: ts.Node): string {
  const simple = ts.isIdentifier(node) || ts.isPropertyAccessExpression(node) ||
    ts.isElementAccessExpression(node) || ts.isCallExpression(node) ||
    ts.isNumericLiteral(node) || ts.isParenthesizedExpression(node);
  return simple ? node.getText() : `(${node.getText()})`;
}

/** A copy of `node` with the text of its part `part` replaced. */
export function withPart(node: ts.Node, part: ts.Node, after: string): string {
  const text = node.getText(), start = part.getStart() - node.getStart();
  return text.slice(0, start) + after + text.slice(start + part.getText().length);
}

/** What a function returns or a loop stores: the value of a result. */
export function resultOf(node: ts.Node): ts.Expression | null {
  if (ts.isReturnStatement(node) && node.expression) return node.expression;
  if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) return node.body;
  const store = binary(node, K.EqualsToken, K.PlusEqualsToken);
  if (store !== null && ts.isElementAccessExpression(store.left)) return store.right;
  return null;
}

/** Whether a node stands in the head of a `for`. */
export function isLoopCondition(node: ts.Node): boolean {
  return ts.isForStatement(node.parent) && node.parent.condition === node;
}

/** A property or destructured property of this name whose owner also has `other`. */
export function hasSibling(context: Context, node: ts.Node, other: string): boolean {
  const owner = ts.isPropertyAccessExpression(node)
    ? context.checker.getTypeAtLocation(node.expression)
    : ts.isBindingElement(node)
    ? context.checker.getTypeAtLocation(node.parent)
    : undefined;
  return owner?.getProperty(other) !== undefined;
}

/**
 * Reads another property instead: `step.beta` → `step.betaTilde`, and in a destructuring `beta` →
 * `betaTilde: beta`.
 */
export function otherProperty(context: Context, node: ts.Node, pairs: Pairs): Edit[] {
  if (ts.isPropertyAccessExpression(node)) {
    return othersOf(node.name.text, pairs)
      .filter((other) => hasSibling(context, node, other))
      .map((other) => ({ node, after: `${node.expression.getText()}.${other}` }));
  }
  if (ts.isBindingElement(node) && ts.isIdentifier(node.name) && !node.propertyName) {
    const name = node.name.text;
    return othersOf(name, pairs)
      .filter((other) => hasSibling(context, node, other))
      .map((other) => ({ node, after: `${other}: ${name}` }));
  }
  return [];
}

/** Names that are mistaken for each other. */
export type Pairs = readonly (readonly [string, string])[];

function othersOf(name: string, pairs: Pairs): string[] {
  return pairs.flatMap(([a, b]) => name === a ? [b] : name === b ? [a] : []);
}

/** Whether an identifier is read as a value, not declared, named as a property or called. */
export function isValue(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isCallExpression(parent) && parent.expression === node) return false;
  if (ts.isBinaryExpression(parent) && parent.left === node && isAssignment(parent)) return false;
  return !ts.isBindingElement(parent) && !ts.isShorthandPropertyAssignment(parent) &&
    !ts.isPropertyAssignment(parent) && !ts.isParameter(parent) &&
    !(ts.isVariableDeclaration(parent) && parent.name === node) &&
    !ts.isPostfixUnaryExpression(parent) && !ts.isPrefixUnaryExpression(parent);
}

function isAssignment(node: ts.BinaryExpression): boolean {
  const { kind } = node.operatorToken;
  return kind >= K.FirstAssignment && kind <= K.LastAssignment;
}

/** Whether a call is of min or max, whose arguments may stand in any order. */
export function isMinOrMax(node: ts.Node): boolean {
  return isCallOf(node, "Math.min", "Math.max");
}

/** Finds the ways in which one kind of mistake can be made at a node. */
export type Operator = (node: ts.Node, context: Context) => Edit[];
