/**
 * The documents against the code: what they name must exist, and docs/equations.md must name every
 * function of the reference, so that renaming one without the other fails here.
 *
 * In docs/equations.md a link whose text is code names a function of the file it leads to; a link into
 * tests/ has the key of a row of the section "Tests cited", which gives the test's full name; code with
 * a colon is a golden case, its file and its id.
 */
import { assert, assertEquals } from "@std/assert";
import {
  citedHeadings,
  exportedFunctions,
  exportedValues,
  testNames,
} from "./support/source_names.ts";

const root = new URL("..", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, root));
}

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, root));
    return true;
  } catch {
    return false;
  }
}

/** `of` a source file, worked out once. */
function once<T>(of: (source: string) => T): (path: string) => T {
  const known = new Map<string, T>();
  return (path) => {
    const found = known.get(path) ?? of(read(path));
    known.set(path, found);
    return found;
  };
}

const valuesOf = once(exportedValues);
const functionsOf = once(exportedFunctions);
const testsOf = once(testNames);

/** Paths, from the project's root, of the files under a folder whose names end in `end`. */
function filesUnder(folder: string, end: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesUnder(path, end) : name.endsWith(end) ? [path] : [];
  }).sort();
}

/** A document without its fenced code. */
function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^(`{3,})[^\n]*\n[\s\S]*?^\1$/gm, "");
}

interface Link {
  /** What the link says, without the backticks if it is code. */
  readonly text: string;
  readonly isCode: boolean;
  /** Path from the project's root, or "" for the document itself. */
  readonly path: string;
  /** What follows the #, or "". */
  readonly heading: string;
}

/** The relative links of a document in docs/ or, with folder "", in the root. */
function linksOf(markdown: string, folder: string): Link[] {
  const all = [...withoutCode(markdown).matchAll(/\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)/g)];
  return all.filter(([, , target]) => !/^[a-z]+:/.test(target)).map(([, text, target]) => {
    const [file, heading = ""] = target.split("#");
    const url = new URL(file, new URL(`${folder}/x`.replace(/^\//, ""), "file:///"));
    const isCode = text.startsWith("`");
    const path = file === "" ? "" : url.pathname.slice(1);
    return { text: isCode ? text.slice(1, -1) : text, isCode, path, heading };
  });
}

/** The anchors that GitHub gives a document's headings, and those that it sets itself. */
function anchorsOf(markdown: string): Set<string> {
  const plain = withoutCode(markdown);
  const headings = [...plain.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(/\s/g, "-")
  );
  return new Set([...headings, ...[...plain.matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id)]);
}

/** Relative links that lead nowhere. */
function brokenLinks(markdown: string, folder: string): string[] {
  return linksOf(markdown, folder).flatMap(({ text, path, heading }) => {
    if (path !== "" && !exists(path)) return [`${text} leads to ${path}, which does not exist`];
    if (heading === "" || (path !== "" && !path.endsWith(".md"))) return [];
    const anchors = anchorsOf(path === "" ? markdown : read(path));
    return anchors.has(heading) ? [] : [`${text} leads to #${heading}, which is no heading`];
  });
}

/** Functions that a document names but their files do not export. */
function missingFunctions(markdown: string): string[] {
  return linksOf(markdown, "docs").filter(({ isCode, path }) =>
    isCode && path.endsWith(".ts") && !path.startsWith("tests/")
  ).flatMap(({ text, path }) =>
    exists(path) && valuesOf(path).includes(text) ? [] : [`${path} does not export ${text}`]
  );
}

/** Functions and classes of the reference that a document does not name. */
function unnamedFunctions(markdown: string): string[] {
  const named = new Set(linksOf(markdown, "docs").map(({ text, path }) => `${path} ${text}`));
  return filesUnder("src/reference", ".ts").flatMap((path) =>
    functionsOf(path).map((name) => `${path} ${name}`)
  ).filter((name) => !named.has(name));
}

interface CitedTest {
  readonly key: string;
  readonly name: string;
  readonly path: string;
}

/** The rows of the section "Tests cited". */
function citedTests(markdown: string): CitedTest[] {
  const [, section = ""] = markdown.split(/^## Tests cited$/m);
  const rows = [
    ...section.matchAll(/^\| (\w+) +\| `(.+?)` +\| \[`[^`]*`\]\(\.\.\/([^)]+)\) +\|$/gm),
  ];
  return rows.map(([, key, name, path]) => ({ key, name: name.replaceAll("\\|", "|"), path }));
}

/** What is wrong with the tests that docs/equations.md cites. */
function testFaults(markdown: string): string[] {
  const cited = citedTests(markdown);
  const rows = new Map(cited.map(({ key, path }) => [key, path]));
  const used = linksOf(markdown, "docs").filter(({ isCode, path }) =>
    !isCode && path.startsWith("tests/") && path.endsWith("_test.ts")
  );
  const keys = new Set(used.map(({ text }) => text));
  return [
    ...cited.flatMap(({ key, name, path }) =>
      exists(path) && testsOf(path).includes(name) ? [] : [`${key}: ${path} has no test "${name}"`]
    ),
    ...cited.filter(({ key }) => !keys.has(key)).map(({ key }) => `${key} is cited nowhere`),
    ...used.filter(({ text, path }) => rows.get(text) !== path)
      .map(({ text, path }) => `${text} in ${path} is no row of "Tests cited"`),
  ];
}

/** The ids of tests/golden/<file>.json, or none. */
function goldenIds(file: string): string[] {
  const path = `tests/golden/${file}.json`;
  if (!exists(path)) return [];
  const { cases = [] } = JSON.parse(read(path));
  return cases.map(({ id }: { id: string }) => id);
}

/** What is wrong with the golden cases that docs/equations.md cites. */
function goldenFaults(markdown: string): string[] {
  const code = [...withoutCode(markdown).matchAll(/`([^`\s]+)`/g)].map(([, text]) => text);
  const cases = code.filter((text) => /^\w+:[\w.,]+$/.test(text));
  const files = code.filter((text) => /^[\w/]+\.(safetensors|tsv|json)$/.test(text));
  const all = filesUnder("tests/golden", ".json").flatMap((path) => {
    const file = path.replace(/^tests\/golden\/|\.json$/g, "");
    return goldenIds(file).map((id) => `${file}:${id}`);
  });
  return [
    ...cases.filter((text) => !all.includes(text)).map((text) => `there is no golden case ${text}`),
    ...files.filter((text) => !exists(`tests/golden/${text}`))
      .map((text) => `there is no tests/golden/${text}`),
    ...all.filter((text) => !cases.includes(text)).map((text) => `${text} is cited nowhere`),
  ];
}

/**
 * What would not survive Markdown on its way to the mathematics: an underscore after punctuation may open
 * emphasis, a backslash before punctuation is an escape, and a bar ends a table's cell.
 */
function mathFaults(markdown: string): string[] {
  const plain = withoutCode(markdown).replaceAll(/`[^`\n]*`/g, "");
  const blocks = [...plain.matchAll(/\$\$([\s\S]*?)\$\$/g)].map(([, formula]) => formula);
  const inline = plain.replaceAll(/\$\$[\s\S]*?\$\$/g, "").split("\n").flatMap((line) => {
    const pieces = line.split("$");
    if (pieces.length % 2 === 0) return [`unpaired $ in: ${line}`];
    return pieces.filter((_, i) => i % 2 === 1);
  });
  return [...blocks, ...inline].filter((formula) =>
    /[^A-Za-z0-9]_|\\[^A-Za-z]|\||\*|^unpaired/.test(formula)
  );
}

/** TypeScript quoted by a document that none of the sources it links to contains, spacing aside. */
function foreignQuotes(markdown: string): string[] {
  const bare = (code: string) => code.replaceAll(/\s|,(?=\s*[)\]}])/g, "");
  const sources = linksOf(markdown, "docs").filter(({ path }) => path.endsWith(".ts"))
    .map(({ path }) => bare(read(path)));
  const quotes = [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
  assert(quotes.length > 0);
  return quotes.filter((code) => !sources.some((source) => source.includes(bare(code))));
}

const equations = read("docs/equations.md");
const documents = [
  ...[...Deno.readDirSync(root)].map(({ name }) => name).filter((name) => name.endsWith(".md")),
  ...filesUnder("docs", ".md"),
];

Deno.test("every relative link of the documents leads somewhere", () => {
  const broken = documents.flatMap((path) => {
    const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
    return brokenLinks(read(path), folder).map((fault) => `${path}: ${fault}`);
  });
  assertEquals(broken, []);
});

Deno.test("every function that a document names is exported by the file it links to", () => {
  const missing = filesUnder("docs", ".md").flatMap((path) => missingFunctions(read(path)));
  assertEquals(missing, []);
});

Deno.test("docs/equations.md names every exported function of the reference", () => {
  assertEquals(unnamedFunctions(equations), []);
});

Deno.test("docs/equations.md cites tests that exist, each under its whole name", () => {
  assert(citedTests(equations).length > 0);
  assertEquals(testFaults(equations), []);
});

Deno.test("docs/equations.md cites golden cases that exist, and all that exist", () => {
  assertEquals(goldenFaults(equations), []);
});

Deno.test("the mathematics of the documents passes through Markdown unharmed", () => {
  const faults = filesUnder("docs", ".md").flatMap((path) =>
    mathFaults(read(path)).map((formula) => `${path}: ${formula}`)
  );
  assertEquals(faults, []);
});

Deno.test("the code that docs/layer.md quotes is the code of the files it links to", () => {
  assertEquals(foreignQuotes(read("docs/layer.md")), []);
});

Deno.test("every heading of a document that the code cites exists", () => {
  const cited = ["src", "tests"].flatMap((folder) => filesUnder(folder, ".ts"))
    .flatMap((path) => citedHeadings(read(path)).map((heading) => `${path} ${heading}`));
  const missing = cited.filter((citation) => {
    const [path, heading] = citation.split(" ")[1].split("#");
    return !exists(path) || !anchorsOf(read(path)).has(heading);
  });
  assertEquals(missing, []);
});

Deno.test("a renamed function, test, golden case, file or heading is reported, and so is broken mathematics", () => {
  const planted: [check: (markdown: string) => string[], from: string | RegExp, to: string][] = [
    [missingFunctions, "[`posteriorMean`]", "[`posteriorAverage`]"],
    [unnamedFunctions, /\[`posteriorMean`\]/g, "[`posteriorMeanOf`]"],
    [testFaults, "`2. Bayes: log q", "`2. Bayes' rule: log q"],
    [testFaults, /^\| P3 .*$/m, ""],
    [goldenFaults, "`gaussian_q:q_linear1000_mid`", "`gaussian_q:q_linear1000`"],
    [goldenFaults, /`space_timesteps:space_6_3`/g, "that case"],
    [goldenFaults, "`unet_ddim_tiny.safetensors`", "`unet_ddim_small.safetensors`"],
    [(markdown) => brokenLinks(markdown, "docs"), "../src/reference/slerp.ts", "../src/slerp.ts"],
    [(markdown) => brokenLinks(markdown, "docs"), /\(#[\w-]+\)/, "(#no-such-heading)"],
    [mathFaults, "$", "$\\{x\\}"],
    [mathFaults, "$\\tilde\\mu_t", "$\\tilde{\\mu}_t"],
  ];
  for (const [check, from, to] of planted) {
    const altered = equations.replace(from, to);
    assert(altered !== equations, `${from} is not in docs/equations.md`);
    assert(check(altered).length > check(equations).length, `${from} to ${to} was not reported`);
  }
});
