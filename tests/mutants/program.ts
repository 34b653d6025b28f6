/**
 * The sources that are mutated, parsed and typed: types keep the operators from writing programs that
 * would fail for a trivial reason, such as a tensor where a number belongs.
 *
 * @module
 */
import ts from "typescript";

/** The parsed sources and their types. */
export interface Program {
  readonly files: readonly ts.SourceFile[];
  readonly checker: ts.TypeChecker;
}

/** Every `.ts` file under `folder`, sorted. */
export function sourcesUnder(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...sourcesUnder(path));
    else if (entry.name.endsWith(".ts")) found.push(path);
  }
  return found.sort();
}

/**
 * Parses and types `paths`.
 *
 * @throws {Error} if the compiler finds an error: types that are wrong would make the operators so.
 */
export function parse(paths: readonly string[]): Program {
  const program = ts.createProgram([...paths], {
    allowImportingTsExtensions: true,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ESNext,
    types: [],
  });
  const [diagnostic] = ts.getPreEmitDiagnostics(program);
  if (diagnostic !== undefined) {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ");
    throw new Error(
      `Expected sources without errors but got, in ${diagnostic.file?.fileName}: ${text}`,
    );
  }
  const wanted = new Set(paths);
  return {
    files: program.getSourceFiles().filter((file) => wanted.has(file.fileName)),
    checker: program.getTypeChecker(),
  };
}
