/**
 * The mistakes that any program can have, as operators on the syntax tree.
 *
 * @module
 */
import ts from "typescript";
import {
  binary,
  isCallOf,
  isLoopCondition,
  isValue,
  operand,
  type Operator,
  typeName,
  withPart,
} from "./syntax.ts";
import { isRefusal } from "./units.ts";

const K = ts.SyntaxKind;

/** min ↔ max. */
const minMax: Operator = (node) => {
  if (!isCallOf(node, "Math.min", "Math.max")) return [];
  const other = node.expression.getText() === "Math.min" ? "Math.max" : "Math.min";
  return [{ node, after: withPart(node, node.expression, other) }];
};

/** Another number, another default. */
const constant: Operator = (node, context) => {
  if (ts.isBigIntLiteral(node)) {
    return [{ node, after: `${BigInt(node.text.slice(0, -1)) + 1n}n` }];
  }
  if (ts.isNumericLiteral(node)) {
    const value = Number(node.text);
    if (!Number.isInteger(value)) return [{ node, after: `(2 * ${node.getText()})` }];
    return value === 0
      ? [{ node, after: "1" }]
      : [{ node, after: `${value + 1}` }, { node, after: `${value - 1}` }];
  }
  if (node.kind === K.TrueKeyword) return [{ node, after: "false" }];
  if (node.kind === K.FalseKeyword) return [{ node, after: "true" }];
  const isDefault = ts.isStringLiteral(node) &&
    (ts.isBindingElement(node.parent) || binary(node.parent, K.QuestionQuestionToken) !== null);
  if (!isDefault) return [];
  const wanted = context.checker.getContextualType(node as ts.StringLiteral);
  const options = wanted?.isUnion() ? wanted.types : [];
  return options.flatMap((option) =>
    option.isStringLiteral() && option.value !== node.text
      ? [{ node, after: JSON.stringify(option.value) }]
      : []
  );
};

const COUNTER = /^(k|t|tn|i|j|n|d|row|column|count|label|steps|ends\[n\]|\w+\.length)$/;

/** < ↔ ≤ and > ↔ ≥ between counters, where the equal case exists. */
const boundary: Operator = (node) => {
  const comparison = binary(
    node,
    K.LessThanToken,
    K.LessThanEqualsToken,
    K.GreaterThanToken,
    K.GreaterThanEqualsToken,
  );
  if (!comparison || isLoopCondition(node)) return [];
  if (![comparison.left, comparison.right].some((side) => COUNTER.test(side.getText()))) return [];
  const operator = comparison.operatorToken.getText();
  const other = operator.endsWith("=") ? operator.slice(0, 1) : `${operator}=`;
  return [{ node, after: `${comparison.left.getText()} ${other} ${comparison.right.getText()}` }];
};

/** One branch whatever the condition. */
const oneBranch: Operator = (node) => {
  if (ts.isConditionalExpression(node)) {
    return [
      { node, after: `(${node.whenTrue.getText()})` },
      { node, after: `(${node.whenFalse.getText()})` },
    ];
  }
  if (ts.isIfStatement(node)) {
    const always = { node: node.expression, after: "true" };
    const never = { node: node.expression, after: "false" };
    return isRefusal(node) ? [never] : [always, never];
  }
  if (ts.isCaseClause(node)) {
    const clauses = node.parent.clauses;
    const other = clauses[(clauses.indexOf(node) + 1) % clauses.length];
    const [mine, theirs] = [node, other].map(({ statements }) => {
      const last = statements[statements.length - 1];
      return last !== undefined && ts.isReturnStatement(last) ? last : undefined;
    });
    if (mine && theirs && !theirs.getText().includes("unexpected")) {
      return [{ node: mine, after: theirs.getText() }];
    }
  }
  return [];
};

/** Calls that other operators drop. */
const OTHERWISE_DROPPED = /^(Math\.sqrt|Math\.min|Math\.max|clamp|clipX0|previous)$/;

/** f(a) → a where both are of one type; lists unreversed and unsorted; a new object → the argument. */
const dropCall: Operator = (node, context) => {
  if (
    ts.isReturnStatement(node) && node.expression && ts.isObjectLiteralExpression(node.expression)
  ) {
    const made = ts.findAncestor(node, ts.isFunctionDeclaration);
    const first = made?.parameters[0];
    const { checker } = context;
    if (!made?.type || !first?.type || !ts.isIdentifier(first.name)) return [];
    return checker.getTypeAtLocation(made.type) === checker.getTypeAtLocation(first.type)
      ? [{ node: node.expression, after: first.name.text }]
      : [];
  }
  if (!ts.isCallExpression(node) || OTHERWISE_DROPPED.test(node.expression.getText())) return [];
  const callee = node.expression;
  if (ts.isPropertyAccessExpression(callee) && ["reverse", "sort"].includes(callee.name.text)) {
    return [{ node, after: callee.expression.getText() }];
  }
  const [first] = node.arguments;
  if (first === undefined || ts.isSpreadElement(first)) return [];
  return typeName(context, node) === typeName(context, first)
    ? [{ node, after: operand(first) }]
    : [];
};

/** Another variable of the same type that is in scope: x_0 for x_t, H for W. */
const otherVariable: Operator = (node, context) => {
  if (!ts.isIdentifier(node) || !isValue(node)) return [];
  const { checker, unitStart, unitEnd } = context;
  const type = typeName(context, node);
  if (type === "any" || type === "Schedule") return [];
  const others = checker.getSymbolsInScope(node, ts.SymbolFlags.Variable).filter((symbol) => {
    const declaration = symbol.valueDeclaration;
    return declaration !== undefined && symbol.name !== node.text &&
      declaration.getSourceFile() === node.getSourceFile() &&
      declaration.pos >= unitStart && declaration.end <= unitEnd && declaration.end < node.pos &&
      checker.typeToString(checker.getBaseTypeOfLiteralType(checker.getTypeOfSymbol(symbol))) ===
        type;
  }).map(({ name }) => name).sort();
  if (others.length === 0) return [];
  const next = others.find((name) => name > node.text) ?? others[0];
  return [{ node, after: next }];
};

/** Leaves out a last argument that may be left out: a bias, the options, the values of a tensor. */
const dropArgument: Operator = (node, { checker }) => {
  if (!ts.isCallExpression(node) || node.arguments.length === 0) return [];
  const parameters = checker.getResolvedSignature(node)?.getDeclaration()?.parameters ?? [];
  const last = node.arguments.length - 1, parameter = parameters[last];
  if (parameter === undefined) return [];
  if (!(parameter.questionToken || parameter.initializer)) {
    const given = node.arguments[last];
    return given.getText() === "options" ? [{ node: given, after: "{}" }] : [];
  }
  if (parameter.getSourceFile().isDeclarationFile) return [];
  const kept = node.arguments.slice(0, -1).map((argument) => argument.getText()).join(", ");
  return [{ node, after: `${node.expression.getText()}(${kept})` }];
};

/** These operators by name. */
export const PROGRAM_OPERATORS: Readonly<Record<string, Operator>> = {
  "min-max": minMax,
  "constant": constant,
  "boundary": boundary,
  "one-branch": oneBranch,
  "drop-call": dropCall,
  "drop-argument": dropArgument,
  "other-variable": otherVariable,
};
