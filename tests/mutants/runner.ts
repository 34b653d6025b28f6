/**
 * Runs tests on a copy of the project with one mutant in it. The copy has no golden data.
 *
 * @module
 */
import { type Mutant, mutated } from "./candidates.ts";

/** What became of a mutant. */
export interface Outcome {
  readonly mutant: Mutant;
  /** `stillborn`: what the mutant made is no program, so that catching it says nothing. */
  readonly verdict: "caught" | "hung" | "survived" | "stillborn";
  /** The first test that failed. */
  readonly by: string | null;
  readonly seconds: number;
}

/** What every test needs; golden data is not among it. */
const NEEDED = ["src", "tests/support", "links", "mod.ts", "deno.json", "deno.lock"];

/** The tests that should notice. */
export interface Suite {
  /** Their folder. */
  readonly folder: string;
  /** Names of their files. */
  readonly files: readonly string[];
  /** What they may do, as options of `deno test`. */
  readonly permissions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /**
   * The files that could notice a mutant, in groups that are run one after the other; without it the
   * one that names the function most often, then the others.
   */
  readonly order?: (mutant: Mutant) => readonly (readonly string[])[];
  /** Whether a failed run's output says that the mutant is no program. */
  readonly isStillborn?: (output: string) => boolean;
}

function copy(from: string, to: string): void {
  if (!Deno.statSync(from).isDirectory) return Deno.copyFileSync(from, to);
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) copy(`${from}/${name}`, `${to}/${name}`);
}

/** Files of `folder` that are tests, by name, if `part` is in their names. */
export function testFiles(folder: string, part = ""): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith("_test.ts") && name.includes(part)).sort();
}

/** The properties under `root`; `part` is in the names of those that are run. */
export function properties(root: string, part?: string): Suite {
  const folder = "tests/properties";
  return {
    folder,
    files: testFiles(`${root}/${folder}`, part),
    permissions: ["--allow-read", "--allow-env"],
    env: { SHRINK: "no" },
  };
}

/** A copy of the project in which mutants are run one after the other. */
export class Workshop {
  readonly #folder: string;
  readonly #suite: Suite;
  readonly #texts = new Map<string, string>();

  /** Copies what the tests need out of `root`. */
  constructor(root: string, suite: Suite) {
    this.#folder = Deno.makeTempDirSync({ prefix: "mutants-" });
    this.#suite = suite;
    Deno.mkdirSync(`${this.#folder}/tests`);
    for (const path of [...NEEDED, suite.folder]) {
      copy(`${root}/${path}`, `${this.#folder}/${path}`);
    }
    for (const name of suite.files) {
      this.#texts.set(name, Deno.readTextFileSync(`${root}/${suite.folder}/${name}`));
    }
  }

  /** Removes the copy. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }

  /**
   * Runs the tests without a mutant.
   *
   * @returns the seconds that each file takes.
   * @throws {Error} if they fail: then nothing could be said.
   */
  async check(): Promise<Map<string, number>> {
    const times = new Map<string, number>();
    for (const name of this.#suite.files) {
      const { code, seconds, output } = await this.#run([name], 600);
      if (code !== 0) {
        throw new Error(`Expected the tests to pass but got\n${output.slice(-4000)}`);
      }
      times.set(name, seconds);
    }
    return times;
  }

  /**
   * The tests with a mutant, those that speak most of its function first. A run that takes several
   * times what it took without the mutant is ended: a loop may have no end.
   *
   * @param times what `check` returned.
   */
  async run(mutant: Mutant, times: ReadonlyMap<string, number>): Promise<Outcome> {
    const path = `${this.#folder}/${mutant.file}`;
    const original = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, mutated(original, mutant));
    try {
      let seconds = 0;
      for (const files of this.#inOrder(mutant)) {
        const usual = files.reduce((sum, name) => sum + times.get(name)!, 0);
        const result = await this.#run(files, 15 + 5 * usual);
        seconds += result.seconds;
        if (result.code === null) return { mutant, verdict: "hung", by: null, seconds };
        if (result.code !== 0 && this.#suite.isStillborn?.(result.output)) {
          return { mutant, verdict: "stillborn", by: null, seconds };
        }
        if (result.code !== 0) {
          return { mutant, verdict: "caught", by: failedTest(result.output), seconds };
        }
      }
      return { mutant, verdict: "survived", by: null, seconds };
    } finally {
      Deno.writeTextFileSync(path, original);
    }
  }

  /** By the suite's order, or the file that names the function most often, then the others. */
  #inOrder(mutant: Mutant): readonly (readonly string[])[] {
    const { file, unit } = mutant, { files } = this.#suite;
    if (this.#suite.order !== undefined) {
      return this.#suite.order(mutant).filter((names) => names.length > 0);
    }
    const topic = file.split("/").pop()!.replace(".ts", "");
    const word = new RegExp(`\\b${unit.split(".").pop()!.replace("#", "")}\\b`, "g");
    const score = (name: string) =>
      (this.#texts.get(name)!.match(word) ?? []).length +
      (this.#texts.get(name)!.includes(`/${topic}.ts"`) ? 0.5 : 0) + (name.includes(topic) ? 1 : 0);
    const order = [...files].sort((a, b) => score(b) - score(a));
    return [order.slice(0, 1), order.slice(1)].filter((names) => names.length > 0);
  }

  async #run(
    files: readonly string[],
    limit: number,
  ): Promise<{ code: number | null; seconds: number; output: string }> {
    const start = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--no-check",
        "--fail-fast",
        ...this.#suite.permissions,
        ...files.map((name) => `${this.#suite.folder}/${name}`),
      ],
      cwd: this.#folder,
      env: { NO_COLOR: "1", ...this.#suite.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      child.kill("SIGKILL");
    }, limit * 1000);
    const { code, stdout, stderr } = await child.output();
    clearTimeout(timer);
    const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    const seconds = (performance.now() - start) / 1000;
    return { code: hung ? null : code, seconds, output };
  }
}

function failedTest(output: string): string | null {
  return /^(.*?) \.\.\. .*FAILED/m.exec(output)?.[1] ?? /^(.*?) => \.\//m.exec(output)?.[1] ?? null;
}
