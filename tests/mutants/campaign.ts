/**
 * Plants mistakes one at a time, runs tests on each, and says which were not noticed: the command line
 * that every campaign has.
 *
 * @module
 */
import { say, UsageError } from "../../src/cli/terminal.ts";
import { parseArgs } from "@std/cli/parse-args";
import { chosen, describe, type Mutant, type Quota, sample, type Target } from "./candidates.ts";
import { type Outcome, type Suite, Workshop } from "./runner.ts";

/** What mistakes are planted where, and who should notice. */
export interface Campaign {
  /** What it does, for the help. */
  readonly purpose: string;
  readonly task: string;
  /** Every mutant that the operators can make. */
  readonly possible: readonly Mutant[];
  /** Proofs of those that nothing can notice, by their ids. */
  readonly equivalent: Readonly<Record<string, string>>;
  /** Exported functions, each of which must have a mutant. */
  readonly targets: readonly Target[];
  /** How many are chosen, if not as for the reference. */
  readonly quota?: Quota;
  /** The tests, those of files whose name contains `part`. */
  readonly suite: (part: string | undefined) => Suite;
}

const OPTIONS = `
  --function NAME  only mutants of one function
  --file TEXT      only mutants of files whose path contains TEXT
  --id ID          only this mutant
  --tests TEXT     only tests in files whose name contains TEXT
  --all            every mutant that the operators can make, not the fixed choice
  --sample N       a fixed subset of N
  --list           print the mutants and stop
  --workers N      processes at a time (default 2)
  --json FILE      write the outcomes to FILE
  --help           print this

Exit code 1 if a mutant survives, or an exported function has none.
`;

const TEXTS = ["function", "file", "id", "tests", "sample", "workers", "json"] as const;

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
      throw new UsageError(`Expected an option of --help but got ${arg}`);
    },
  });
  const texts = Object.fromEntries(TEXTS.map((name) => [name, given[name] as string | undefined]));
  return { ...texts, all: !!given.all, list: !!given.list, help: !!given.help };
}

/** A positive whole number of an option. */
function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new UsageError(`Expected --${name} to be a whole number above 0 but got ${text}`);
  }
  return value;
}

/** Runs `mutants`, `workers` at a time, and says what became of each. */
async function runAll(
  root: string,
  mutants: readonly Mutant[],
  workers: number,
  suite: Suite,
): Promise<Outcome[]> {
  const queue = [...mutants];
  const outcomes: Outcome[] = [];
  const work = async (workshop: Workshop, times: ReadonlyMap<string, number>): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const outcome = await workshop.run(next, times);
      outcomes.push(outcome);
      const { verdict, by, seconds } = outcome;
      const progress = `${String(outcomes.length).padStart(4)}/${mutants.length}`;
      say(
        `${progress} ${verdict.padEnd(8)} ${seconds.toFixed(1).padStart(5)} s ${describe(next)}` +
          (by === null ? "" : ` — ${by}`),
      );
    }
  };
  using stack = new DisposableStack();
  const workshops = Array.from(
    { length: workers },
    () => stack.use(new Workshop(root, suite)),
  );
  const times = await workshops[0].check();
  const seconds = [...times.values()].reduce((sum, time) => sum + time, 0);
  say(`The tests pass without a mutant, in ${seconds.toFixed(1)} s.`);
  await Promise.all(workshops.map((workshop) => work(workshop, times)));
  return outcomes;
}

/**
 * Does what the command line asks for.
 *
 * @returns the exit code.
 */
export async function runCampaign(campaign: Campaign, args: string[]): Promise<number> {
  const options = optionsOf(args);
  if (options.help) {
    say(`${campaign.purpose}\n\nUsage: deno task ${campaign.task} [options]\n${OPTIONS}`);
    return 0;
  }
  const root = Deno.cwd();
  const { possible, equivalent, targets } = campaign;
  const everything = possible.filter(({ id }) => !(id in equivalent));
  if (possible.length - everything.length !== Object.keys(equivalent).length) {
    throw new Error("Expected every equivalent mutant to exist but got one of a text that changed");
  }
  const fixed = options.all ? everything : chosen(everything, campaign.quota);
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
  if (wanted.length === 0) throw new UsageError("Expected mutants to run but got none");
  if (options.list) wanted.forEach((mutant) => say(describe(mutant)));
  for (const { file, name } of without) say(`No mutant for ${name} (${file})`);
  say(
    `${wanted.length} mutants of ${fixed.length} chosen of ${everything.length} possible, ` +
      `${targets.length} exported functions, ${Object.keys(equivalent).length} equivalent`,
  );
  if (options.list) return without.length > 0 ? 1 : 0;

  const start = performance.now();
  const outcomes = await runAll(
    root,
    wanted,
    count("workers", options.workers ?? "2"),
    campaign.suite(options.tests),
  );
  const minutes = (performance.now() - start) / 60000;
  const survivors = outcomes.filter(({ verdict }) => verdict === "survived");
  const hung = outcomes.filter(({ verdict }) => verdict === "hung").length;
  const stillborn = outcomes.filter(({ verdict }) => verdict === "stillborn").length;
  const born = outcomes.length - stillborn;
  if (options.json !== undefined) {
    Deno.writeTextFileSync(options.json, JSON.stringify({ outcomes }, null, 1) + "\n");
  }
  say(
    `\nCaught ${born - survivors.length}/${born} (${hung} by hanging) in ` +
      `${minutes.toFixed(1)} minutes.` +
      (stillborn > 0 ? ` ${stillborn} more were no programs and are not counted.` : ""),
  );
  for (const { mutant, verdict } of outcomes) {
    if (verdict === "hung") say(`Hung: ${describe(mutant)}`);
  }
  for (const { mutant } of survivors) say(`Survived: ${describe(mutant)}`);
  return survivors.length > 0 || without.length > 0 ? 1 : 0;
}
