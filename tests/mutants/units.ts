/**
 * What is mutated: the top-level functions and constants of a file, and in them everything but
 * argument checks, errors and types.
 *
 * @module
 */
import ts from "typescript";

/** A top-level function or constant. */
export interface Unit {
  readonly name: string;
  readonly exported: boolean;
  readonly isFunction: boolean;
  readonly isMethod: boolean;
  /** The part of the declaration that computes. */
  readonly body: ts.Node;
  /** Parameters with their defaults; none for a constant. */
  readonly parameters: readonly ts.ParameterDeclaration[];
  readonly source: ts.SourceFile;
}

function isExported(node: ts.Node): boolean {
  return ts.canHaveModifiers(node) &&
    (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
}

/** The units of a file, in its order; methods of a class count as functions named `Class.method`. */
export function unitsOf(source: ts.SourceFile): Unit[] {
  return source.statements.flatMap((statement): Unit[] => {
    const exported = isExported(statement);
    if (ts.isFunctionDeclaration(statement) && statement.body && statement.name) {
      const { name, body, parameters } = statement;
      return [{
        name: name.text,
        exported,
        isFunction: true,
        isMethod: false,
        body,
        parameters,
        source,
      }];
    }
    if (ts.isClassDeclaration(statement)) {
      return statement.members.flatMap((member): Unit[] => {
        const callable = ts.isMethodDeclaration(member) || ts.isConstructorDeclaration(member) ||
          ts.isGetAccessorDeclaration(member);
        if (!callable || member.body === undefined) return [];
        const method = ts.isConstructorDeclaration(member) ? "constructor" : member.name.getText();
        const { body, parameters } = member;
        // Methods are helpers of the functions that use their class.
        const exported = false;
        const name = `${statement.name?.text}.${method}`;
        return [{ name, exported, isFunction: true, isMethod: true, body, parameters, source }];
      });
    }
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name, initializer }): Unit[] => {
        if (initializer === undefined || !ts.isIdentifier(name)) return [];
        const arrow = ts.isArrowFunction(initializer) ? initializer : null;
        return [{
          name: name.text,
          exported,
          isFunction: arrow !== null,
          isMethod: false,
          body: arrow?.body ?? initializer,
          parameters: arrow ? [...arrow.parameters] : [],
          source,
        }];
      });
    }
    return [];
  });
}

const CHECK = /^(check[A-Z]\w*|unexpected|show)$/;

function isCheckCall(node: ts.Node): node is ts.CallExpression {
  return ts.isCallExpression(node) &&
    (ts.isIdentifier(node.expression) && CHECK.test(node.expression.text) ||
      node.expression.getText().endsWith("throwIfAborted"));
}

function onlyRefuses(statement: ts.Statement): boolean {
  if (ts.isBlock(statement)) return statement.statements.every(onlyRefuses);
  return ts.isThrowStatement(statement) ||
    ts.isExpressionStatement(statement) && isCheckCall(statement.expression);
}

/** Whether `node` is an `if` that does nothing but refuse an argument. */
export function isRefusal(node: ts.Node): node is ts.IfStatement {
  return ts.isIfStatement(node) && onlyRefuses(node.thenStatement);
}

/**
 * Visits every expression and statement of a unit that computes. With `checks` the conditions of
 * refusals are visited as well.
 */
export function visitUnit(unit: Unit, checks: boolean, visit: (node: ts.Node) => void): void {
  const walk = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isThrowStatement(node)) return;
    if (isCheckCall(node)) {
      // A check hands its value on: its default is no check.
      node.arguments.forEach((argument) => {
        if (isDefault(argument)) walk(argument);
      });
      return;
    }
    if (isRefusal(node)) {
      if (checks) {
        visit(node);
        walk(node.expression);
      }
      if (node.elseStatement) walk(node.elseStatement);
      return;
    }
    visit(node);
    ts.forEachChild(node, walk);
  };
  unit.parameters.forEach(walk);
  walk(unit.body);
}

function isDefault(node: ts.Node): boolean {
  return ts.isBinaryExpression(node) &&
    node.operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken;
}

/** Names of the other units of the file that a unit refers to. */
export function referencesOf(unit: Unit): Set<string> {
  const names = new Set<string>();
  const walk = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) names.add(node.text);
    ts.forEachChild(node, walk);
  };
  unit.parameters.forEach(walk);
  walk(unit.body);
  return names;
}
