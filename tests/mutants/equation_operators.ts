/**
 * The mistakes that people make when they write these equations down, as operators on the syntax
 * tree. Each takes a node and returns every way in which it can get that node wrong.
 *
 * @module
 */
import ts from "typescript";
import {
  binary,
  type Edit,
  isCallOf,
  isLoopCondition,
  isMinOrMax,
  isNumber,
  isValue,
  operand,
  type Operator,
  otherProperty,
  resultOf,
  typeName,
  withPart,
} from "./syntax.ts";

const K = ts.SyntaxKind;

const negated: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [K.PlusToken, "-"],
  [K.MinusToken, "+"],
  [K.PlusEqualsToken, "-="],
  [K.MinusEqualsToken, "+="],
]);

/** a + b ↔ a − b, −a → a, and a result negated. */
const flipSign: Operator = (node, context) => {
  const edits: Edit[] = [];
  if (ts.isBinaryExpression(node) && isNumber(context, node.right)) {
    const other = negated.get(node.operatorToken.kind);
    if (other !== undefined) edits.push({ node, after: joined(node, other) });
  }
  if (ts.isPrefixUnaryExpression(node) && node.operator === K.MinusToken) {
    edits.push({ node, after: operand(node.operand) });
  }
  const result = resultOf(node);
  if (result !== null && isNumber(context, result)) {
    edits.push({ node: result, after: `-${operand(result)}` });
  }
  return edits;
};

/** `left operator right` with its operator replaced. */
function joined(node: ts.BinaryExpression, operator: string): string {
  const right = ["-", "/"].includes(operator) ? operand(node.right) : node.right.getText();
  return `${node.left.getText()} ${operator} ${right}`;
}

const UNDER_A_ROOT = /^(beta|alpha|alphaBar|oneMinusAlphaBar|betaTilde|variance|sigma2?|snr)$/;

/** √a → a and a → √a for the quantities that stand under a root somewhere. */
const squareRoot: Operator = (node, context) => {
  if (isCallOf(node, "Math.sqrt")) return [{ node, after: operand(node.arguments[0]) }];
  if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
    const [argument] = node.arguments;
    if (argument?.getText() === "Math.sqrt") {
      return [{ node, after: node.expression.expression.getText() }];
    }
  }
  const name = ts.isPropertyAccessExpression(node) ? node.name.text : node.getText();
  const plain = (ts.isIdentifier(node) && isValue(node)) || ts.isPropertyAccessExpression(node);
  if (!plain || !UNDER_A_ROOT.test(name) || !isNumber(context, node)) return [];
  if (isCallOf(node.parent, "Math.sqrt")) return [];
  return [{ node, after: `Math.sqrt(${node.getText()})` }];
};

const isTwo = (node: ts.Node) => ts.isNumericLiteral(node) && node.text === "2";

/** 2a → a, a/2 → a, a² → a, and a result doubled. */
const factorTwo: Operator = (node, context) => {
  const edits: Edit[] = [];
  const product = binary(node, K.AsteriskToken);
  if (product && isTwo(product.left)) edits.push({ node, after: operand(product.right) });
  if (product && isTwo(product.right)) edits.push({ node, after: product.left.getText() });
  const half = binary(node, K.SlashToken, K.AsteriskAsteriskToken);
  if (half && isTwo(half.right)) edits.push({ node, after: half.left.getText() });
  const result = resultOf(node);
  if (result !== null && isNumber(context, result)) {
    edits.push({ node: result, after: `2 * ${operand(result)}` });
  }
  return edits;
};

const TIME = /^(t|tn|tPrev|tNext|k|timesteps\[.*\]|ends\[.*\]|times\[.*\])$/;

/** t ± 1 where a time is handed on, [i ± 1] where a table is read, a loop that ends too early. */
const timeShift: Operator = (node, context) => {
  const edits: Edit[] = [];
  if (ts.isCallExpression(node)) {
    for (const argument of node.arguments) {
      if (!TIME.test(argument.getText()) || !isNumber(context, argument)) continue;
      for (const shift of ["- 1", "+ 1"]) {
        edits.push({ node: argument, after: `${argument.getText()} ${shift}` });
      }
    }
  }
  if (ts.isElementAccessExpression(node) && isNumber(context, node.argumentExpression)) {
    const at = node.argumentExpression;
    if (!ts.isNumericLiteral(at)) {
      for (const shift of ["- 1", "+ 1"]) {
        edits.push({ node: at, after: `${operand(at)} ${shift}` });
      }
    }
  }
  const bound = binary(node, K.LessThanToken, K.LessThanEqualsToken);
  if (bound && isLoopCondition(node) && ts.isIdentifier(bound.left)) {
    edits.push({ node: bound.right, after: `${operand(bound.right)} - 1` });
  }
  return edits;
};

/** β ↔ β̃, as a property, a local or the name of an option. */
const betaTilde: Operator = (node, context) => {
  if (ts.isStringLiteral(node) && (node.text === "beta" || node.text === "betaTilde")) {
    const compared = binary(node.parent, K.EqualsEqualsEqualsToken) !== null;
    const other = node.text === "beta" ? "betaTilde" : "beta";
    return compared ? [{ node, after: `"${other}"` }] : [];
  }
  return otherProperty(context, node, [["beta", "betaTilde"]]);
};

/** ᾱ_t ↔ ᾱ_{t−1}, ᾱ ↔ 1 − ᾱ, α ↔ ᾱ. */
const alphaBar: Operator = (node, context) => {
  if (isCallOf(node, "previous")) return [{ node, after: node.arguments[0].getText() }];
  return otherProperty(context, node, [
    ["alphaBar", "oneMinusAlphaBar"],
    ["alpha", "alphaBar"],
    ["posteriorCoefX0", "posteriorCoefXt"],
  ]);
};

/** a + b → a or b, a·b → a or b, a/b → a, a += b → a = b. */
const dropTerm: Operator = (node, context) => {
  const both = binary(node, K.PlusToken, K.AsteriskToken);
  if (both && isNumber(context, node)) {
    return [
      { node, after: both.left.getText() },
      { node, after: operand(both.right) },
    ];
  }
  const one = binary(node, K.MinusToken, K.SlashToken);
  if (one && isNumber(context, node)) return [{ node, after: one.left.getText() }];
  const sum = binary(node, K.PlusEqualsToken, K.AsteriskEqualsToken);
  return sum ? [{ node, after: `${sum.left.getText()} = ${sum.right.getText()}` }] : [];
};

const inverted: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [K.AsteriskToken, "/"],
  [K.SlashToken, "*"],
  [K.AsteriskEqualsToken, "/="],
  [K.SlashEqualsToken, "*="],
]);

/** a·b ↔ a/b. */
const multiplyDivide: Operator = (node, context) => {
  if (!ts.isBinaryExpression(node) || !isNumber(context, node.right)) return [];
  const other = inverted.get(node.operatorToken.kind);
  return other === undefined ? [] : [{ node, after: joined(node, other) }];
};

/** f(a, b) → f(b, a) for arguments of one type, a − b → b − a, a/b → b/a. */
const swapArguments: Operator = (node, context) => {
  const difference = binary(node, K.MinusToken, K.SlashToken);
  if (difference && !(binary(node, K.MinusToken) && isSquared(node))) {
    const { left, right, operatorToken } = difference;
    return [{ node, after: `${operand(right)} ${operatorToken.getText()} ${operand(left)}` }];
  }
  if (!ts.isCallExpression(node) || isMinOrMax(node)) return [];
  return node.arguments.slice(1).flatMap((second, i) => {
    const first = node.arguments[i];
    if (first.getText() === second.getText()) return [];
    if (typeName(context, first) !== typeName(context, second)) return [];
    const swapped = withPart(node, second, first.getText());
    const start = first.getStart() - node.getStart();
    const after = swapped.slice(0, start) + second.getText() +
      swapped.slice(start + first.getText().length);
    return [{ node, after }];
  });
};

/** Whether a difference is squared, so that its sign does not matter. */
function isSquared(node: ts.Node): boolean {
  if (ts.isParenthesizedExpression(node.parent)) return isSquared(node.parent);
  const power = binary(node.parent, K.AsteriskAsteriskToken);
  return power !== null && isTwo(power.right);
}

/** [a, b] → [b, a] for sizes, and (a·B + i)·C + j → (a·B + j)·C + i for positions. */
const transpose: Operator = (node, context) => {
  if (ts.isArrayLiteralExpression(node)) {
    return node.elements.slice(1).flatMap((second, i) => {
      const first = node.elements[i];
      if (!isNumber(context, first) || !isNumber(context, second)) return [];
      if (first.getText() === second.getText()) return [];
      const texts = node.elements.map((element) => element.getText());
      [texts[i], texts[i + 1]] = [texts[i + 1], texts[i]];
      return [{ node, after: `[${texts.join(", ")}]` }];
    });
  }
  const sum = binary(node, K.PlusToken);
  const product = sum && binary(sum.left, K.AsteriskToken);
  // A sum of products with table entries in it is an equation, not a position.
  if (!sum || !product || node.getText().includes("[")) return [];
  const inner = ts.isParenthesizedExpression(product.left) &&
    binary(product.left.expression, K.PlusToken);
  const outer = inner ? inner.right : product.left;
  if (!inner && !ts.isIdentifier(outer)) return [];
  const swapped = withPart(node, sum.right, outer.getText());
  const start = outer.getStart() - node.getStart();
  const after = swapped.slice(0, start) + operand(sum.right) +
    swapped.slice(start + outer.getText().length);
  return [{ node, after }];
};

/** Uses the value that should have been clipped. */
const skipClip: Operator = (node) => {
  if (isCallOf(node, "clamp", "clipX0")) return [{ node, after: operand(node.arguments[0]) }];
  if (isCallOf(node, "Math.min", "Math.max")) {
    return node.arguments.map((argument) => ({ node, after: operand(argument) }));
  }
  return ts.isIdentifier(node) && node.text === "CLIP_TO_DATA" && ts.isBindingElement(node.parent)
    ? [{ node, after: "null" }]
    : [];
};

/** Keeps the network's ε̂ where it should follow the clipped x̂_0, and the other way round. */
const keepEpsilon: Operator = (node) => {
  if (!ts.isConditionalExpression(node) || node.condition.getText() !== "rederiveEpsilon") {
    return [];
  }
  return [
    { node, after: node.whenFalse.getText() },
    { node, after: node.whenTrue.getText() },
  ];
};

/** These operators by name. */
export const EQUATION_OPERATORS: Readonly<Record<string, Operator>> = {
  "flip-sign": flipSign,
  "square-root": squareRoot,
  "factor-2": factorTwo,
  "time-shift": timeShift,
  "beta-tilde": betaTilde,
  "alpha-bar": alphaBar,
  "drop-term": dropTerm,
  "multiply-divide": multiplyDivide,
  "swap-arguments": swapArguments,
  "transpose": transpose,
  "skip-clip": skipClip,
  "keep-epsilon": keepEpsilon,
};
