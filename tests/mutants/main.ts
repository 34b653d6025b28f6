/**
 * `deno task mutants`: do the properties notice when an equation is wrong? Mistakes are planted in
 * every exported function of the reference, one at a time; each must make a property fail, without
 * golden data.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { allMutants, chosen, describe, type Mutant, sample, targetsOf } from "./candidates.ts";
import { EQUIVALENT } from "./equivalent.ts";
import { parse, sourcesUnder } from "./program.ts";
import { type Outcome, Workshop } from "./runner.ts";

const HELP = `Plants mistakes in the reference and counts how many the properties catch.

Usage: deno task mutants [options]

  --function NAME  only mutants of one function
  --file TEXT      only mutants of files whose path contains TEXT
  --id ID          only this mutant
  --properties TEXT  only properties in files whose name contains TEXT
  --all            every mutant that the operators can make, not the fixed choice
  --sample N       a fixed subset of N
  --list           print the mutants and stop
  --workers N      processes at a time (default 2)
  --json FILE      write the outcomes to FILE
  --help           print this

Exit code 1 if a mutant survives, or an exported function has none.
`;

// deno-lint-ignore no-console
const print = (line: string): void => console.log(line);

const TEXTS = ["function", "file", "id", "properties", "sample", "workers", "json"] as const;

/** What the command line asks for. */
interface Options extends Partial<Record<typeof TEXTS[number], string>> {
  readonly all: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

function optionsOf(args: string[]): Options {
  const given = parseArgs(args, {
    string: TEXTS,
    boolean: ["all", "list", "help"],
    unknown: (arg) => {
      throw new Error(`Expected an option of --help but got ${arg}`);
    },
  });
  const texts = Object.fromEntries(TEXTS.map((name) => [name, given[name] as string | undefined]));
  return { ...texts, all: !!given.all, list: !!given.list, help: !!given.help };
}

/** A positive whole number of an option. */
function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`Expected --${name} to be a whole number above 0 but got ${text}`);
  }
  return value;
}

/** Runs `mutants`, `workers` at a time, and says what became of each. */
async function runAll(
  root: string,
  mutants: readonly Mutant[],
  workers: number,
  properties: string | undefined,
): Promise<Outcome[]> {
  const queue = [...mutants];
  const outcomes: Outcome[] = [];
  const work = async (workshop: Workshop, times: ReadonlyMap<string, number>): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const outcome = await workshop.run(next, times);
      outcomes.push(outcome);
      const { verdict, by, seconds } = outcome;
      const progress = `${String(outcomes.length).padStart(4)}/${mutants.length}`;
      print(
        `${progress} ${verdict.padEnd(8)} ${seconds.toFixed(1).padStart(5)} s ${describe(next)}` +
          (by === null ? "" : ` — ${by}`),
      );
    }
  };
  using stack = new DisposableStack();
  const workshops = Array.from(
    { length: workers },
    () => stack.use(new Workshop(root, properties)),
  );
  const times = await workshops[0].check();
  const seconds = [...times.values()].reduce((sum, time) => sum + time, 0);
  print(`The properties hold without a mutant, in ${seconds.toFixed(1)} s.`);
  await Promise.all(workshops.map((workshop) => work(workshop, times)));
  return outcomes;
}

async function main(args: string[]): Promise<number> {
  const options = optionsOf(args);
  if (options.help) {
    print(HELP);
    return 0;
  }
  const root = Deno.cwd();
  const program = parse(sourcesUnder(`${root}/src/reference`));
  const possible = allMutants(program, root);
  const everything = possible.filter(({ id }) => !(id in EQUIVALENT));
  if (possible.length - everything.length !== Object.keys(EQUIVALENT).length) {
    throw new Error("Expected every equivalent mutant to exist but got one of a text that changed");
  }
  const fixed = options.all ? everything : chosen(everything);
  const targets = targetsOf(program, root);
  const has = new Set(fixed.map(({ file, unit }) => `${file} ${unit}`));
  const without = targets.filter(({ file, units }) =>
    !units.some((unit) => has.has(`${file} ${unit}`))
  );
  let wanted = options.id ? everything.filter(({ id }) => id === options.id) : fixed;
  if (options.function) {
    const units = targets.filter(({ name }) => name === options.function)
      .flatMap(({ file, units }) => units.map((unit) => `${file} ${unit}`));
    wanted = wanted.filter(({ file, unit }) =>
      units.includes(`${file} ${unit}`) || unit === options.function
    );
  }
  const { file: part } = options;
  if (part !== undefined) wanted = wanted.filter(({ file }) => file.includes(part));
  if (options.sample !== undefined) wanted = sample(wanted, count("sample", options.sample));
  if (wanted.length === 0) throw new Error("Expected mutants to run but got none");
  if (options.list) wanted.forEach((mutant) => print(describe(mutant)));
  for (const { file, name } of without) print(`No mutant for ${name} (${file})`);
  print(
    `${wanted.length} mutants of ${fixed.length} chosen of ${everything.length} possible, ` +
      `${targets.length} exported functions, ${Object.keys(EQUIVALENT).length} equivalent`,
  );
  if (options.list) return without.length > 0 ? 1 : 0;

  const start = performance.now();
  const outcomes = await runAll(
    root,
    wanted,
    count("workers", options.workers ?? "2"),
    options.properties,
  );
  const minutes = (performance.now() - start) / 60000;
  const survivors = outcomes.filter(({ verdict }) => verdict === "survived");
  const hung = outcomes.filter(({ verdict }) => verdict === "hung").length;
  if (options.json !== undefined) {
    Deno.writeTextFileSync(options.json, JSON.stringify({ outcomes }, null, 1) + "\n");
  }
  print(
    `\nCaught ${outcomes.length - survivors.length}/${outcomes.length}` +
      ` (${hung} by hanging) in ${minutes.toFixed(1)} minutes.`,
  );
  for (const { mutant, verdict } of outcomes) {
    if (verdict === "hung") print(`Hung: ${describe(mutant)}`);
  }
  for (const { mutant } of survivors) print(`Survived: ${describe(mutant)}`);
  return survivors.length > 0 || without.length > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
