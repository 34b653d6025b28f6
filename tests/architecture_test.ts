/**
 * The layering of the package, enforced: who may import whom, what the library may not import, and where
 * randomness and clocks may not come from.
 */
import { assertEquals } from "@std/assert";
import ts from "typescript";

/** What the files of a folder of src may import, beside their own folder's. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  math: [],
  spec: ["math"],
  reference: ["math", "spec"],
  oracle: ["math", "spec", "reference"],
  webgpu: ["math", "spec"],
  data: ["math", "spec"],
  evaluate: ["math", "spec", "reference", "data"],
  convert: ["math", "spec", "reference", "data"],
  cli: ["math", "spec", "reference", "oracle", "webgpu", "data", "evaluate", "convert"],
};
/** Folders that every user of the library may load: nothing from a registry, no chance, no clock. */
const LIBRARY = ["math", "spec", "reference", "oracle", "webgpu"];
/** What a folder of the library may load from a registry all the same, when it is asked to work. */
const MAY_LOAD: Readonly<Record<string, string>> = { "src/oracle/verify/": "fast-check" };
/** The package's entry points outside the folders. */
const ENTRY = "mod.ts";
const ENTRY_MAY_IMPORT = ["math", "spec", "reference"];

const IMPURE = /\bMath\.random\b|\bgetRandomValues\b|\brandomUUID\b|\bDate\.now\b|\bnew Date\b/;

const root = new URL("..", import.meta.url);

/** Paths of the `.ts` files under a folder, from the project's root. */
function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesUnder(path) : name.endsWith(".ts") ? [path] : [];
  });
}

/** The specifiers of every static and dynamic import and re-export of a source, types included. */
function importsOf(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const given = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
      ? node.arguments[0]
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
      ? node.argument.literal
      : undefined;
    if (given !== undefined) {
      found.push(ts.isStringLiteralLike(given) ? given.text : given.getText());
    }
    ts.forEachChild(node, visit);
  };
  const file = ts.createSourceFile("file.ts", source, ts.ScriptTarget.ESNext, true);
  ts.forEachChild(file, visit);
  return found;
}

/** The program without its comments, where names may be spoken of. */
function withoutComments(source: string): string {
  const compilerOptions = { removeComments: true, target: ts.ScriptTarget.ESNext };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}

/** What is wrong with the imports of one file, one sentence each. */
function violations(path: string, source: string): string[] {
  const folder = path === ENTRY ? null : path.split("/")[1];
  const allowed = folder === null ? ENTRY_MAY_IMPORT : [folder, ...MAY_IMPORT[folder] ?? []];
  const found = importsOf(source).flatMap((specifier) => {
    if (!specifier.startsWith(".")) {
      const loads = Object.entries(MAY_LOAD).some(([under, name]) =>
        path.startsWith(under) && specifier === name
      );
      if (loads) return [];
      return folder === null || LIBRARY.includes(folder)
        ? [`${path} imports ${specifier} from outside the package`]
        : [];
    }
    const target = new URL(specifier, new URL(path, root)).href;
    // The program says its version.
    if (folder === "cli" && target === `${root.href}deno.json`) return [];
    if (!target.startsWith(`${root.href}src/`)) return [`${path} imports ${specifier} outside src`];
    const other = target.slice(`${root.href}src/`.length).split("/")[0];
    return allowed.includes(other) ? [] : [`${path} imports ${specifier}, of ${other}`];
  });
  const impure = folder !== null && LIBRARY.includes(folder)
    ? IMPURE.exec(withoutComments(source))
    : null;
  return impure ? [...found, `${path} uses ${impure[0]}`] : found;
}

Deno.test("every import of the package goes down the layers, and the library needs no registry", () => {
  const files = [ENTRY, ...filesUnder("src")];
  const unknown = files.filter((path) => path !== ENTRY && !(path.split("/")[1] in MAY_IMPORT));
  assertEquals(unknown, [], "files in a folder without a rule");
  const found = files.flatMap((path) =>
    violations(path, Deno.readTextFileSync(new URL(path, root)))
  );
  assertEquals(found, []);
});

Deno.test("a planted violation of each kind is reported", () => {
  const planted: [path: string, source: string, what: string][] = [
    ["src/math/a.ts", `import { unet } from "../spec/unet_config.ts";`, "of spec"],
    ["src/spec/a.ts", `export * from "../reference/mod.ts";`, "of reference"],
    ["src/reference/nn/a.ts", `import type { A } from "../../oracle/a.ts";`, "of oracle"],
    ["src/oracle/a.ts", `const gpu = await import("../webgpu/device.ts");`, "of webgpu"],
    [
      "src/webgpu/kernels/a.ts",
      `import { conv2d } from "../../reference/nn/mod.ts";`,
      "of reference",
    ],
    ["src/webgpu/a.ts", `type Judge = import("../oracle/mod.ts").Judge;`, "of oracle"],
    ["src/data/a.ts", `import "../cli/main.ts";`, "of cli"],
    ["src/reference/a.ts", `import fc from "fast-check";`, "from outside the package"],
    ["src/oracle/a.ts", `const fc = await import("fast-check");`, "from outside the package"],
    ["mod.ts", `export * from "./src/webgpu/mod.ts";`, "of webgpu"],
    ["mod.ts", `export * from "jsr:@std/assert";`, "from outside the package"],
    ["src/cli/a.ts", `import { setting } from "../../tests/support/bound.ts";`, "outside src"],
    ["src/math/a.ts", `const x = Math.random();`, "uses Math.random"],
    ["src/webgpu/a.ts", "const seed = crypto.getRandomValues(words);", "uses getRandomValues"],
    ["src/oracle/a.ts", "const start = Date.now();", "uses Date.now"],
  ];
  for (const [path, source, what] of planted) {
    const found = violations(path, source);
    assertEquals(found.length, 1, `${path}: ${source}`);
    assertEquals(found[0].includes(what), true, found[0]);
  }
  const fine = `// never Math.random\nimport { a } from "../math/a.ts";\nexport * from "./b.ts";`;
  assertEquals(violations("src/reference/a.ts", fine), []);
});

Deno.test("importing mod.ts loads only math, spec and reference", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ENTRY],
    cwd: root,
    stderr: "null",
  }).output();
  assertEquals(code, 0);
  const { modules }: { modules: { specifier: string; error?: string }[] } = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  const loaded = modules.map(({ specifier }) => specifier);
  const foreign = loaded.filter((specifier) =>
    specifier !== new URL(ENTRY, root).href &&
    !ENTRY_MAY_IMPORT.some((folder) => specifier.startsWith(`${root.href}src/${folder}/`))
  );
  assertEquals(foreign, []);
  assertEquals(modules.filter(({ error }) => error !== undefined), []);
  assertEquals(loaded.includes(`${root.href}src/reference/schedule.ts`), true);
});
