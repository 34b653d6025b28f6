/**
 * What a source file declares, read without running it: the functions it exports and the names of its
 * tests.
 *
 * @module
 */
import ts from "typescript";

function parse(source: string): ts.SourceFile {
  return ts.createSourceFile("file.ts", source, ts.ScriptTarget.ESNext, true);
}

function isExported(node: ts.Node): boolean {
  return ts.canHaveModifiers(node) &&
    (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
}

/** Everything that a source exports under its own name and that exists at run time. */
export function exportedValues(source: string): string[] {
  return parse(source).statements.filter(isExported).flatMap((statement) => {
    if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) {
      return statement.name ? [statement.name.text] : [];
    }
    return ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.map(({ name }) => name.getText())
      : [];
  });
}

/** The functions and classes that a source exports. */
export function exportedFunctions(source: string): string[] {
  return parse(source).statements.filter(isExported).flatMap((statement) =>
    (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name
      ? [statement.name.text]
      : []
  );
}

/** A text that is spelled out in the source; what a template fills in is "…". */
function textOf(node: ts.Node): string | null {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node)) {
    return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join("");
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const left = textOf(node.left), right = textOf(node.right);
    return left === null || right === null ? null : left + right;
  }
  return null;
}

/** The names of the tests of a source: of `Deno.test` and of functions whose name ends in `Test`. */
export function testNames(source: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^Deno\.test$|Test(Async)?$/.test(node.expression.getText())) {
      const first = node.arguments[0];
      const name = first && textOf(first);
      if (typeof name === "string") names.push(name);
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(source));
  return names;
}

/** Every text in a source, comments included, that names a heading of a document, after a "#". */
export function citedHeadings(source: string): string[] {
  return [...source.matchAll(/docs\/\w+\.md#[\w-]+/g)].map(([cited]) => cited);
}
