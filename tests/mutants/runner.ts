/**
 * Runs the properties on a copy of the project with one mutant in it. The copy has no golden data.
 *
 * @module
 */
import { type Mutant, mutated } from "./candidates.ts";

/** What became of a mutant. */
export interface Outcome {
  readonly mutant: Mutant;
  readonly verdict: "caught" | "hung" | "survived";
  /** The first test that failed. */
  readonly by: string | null;
  readonly seconds: number;
}

/** What the properties need; golden data is not among it. */
const NEEDED = [
  "src",
  "tests/properties",
  "tests/support",
  "links",
  "mod.ts",
  "deno.json",
  "deno.lock",
];

function copy(from: string, to: string): void {
  if (!Deno.statSync(from).isDirectory) return Deno.copyFileSync(from, to);
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) copy(`${from}/${name}`, `${to}/${name}`);
}

/** Files of `folder` that are tests, by name. */
export function propertyFiles(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith("_test.ts")).sort();
}

/** A copy of the project in which mutants are run one after the other. */
export class Workshop {
  readonly #folder: string;
  readonly #properties: readonly string[];
  readonly #texts = new Map<string, string>();

  /** Copies what the properties need out of `root`; `part` is in the names of those that are run. */
  constructor(root: string, part = "") {
    this.#folder = Deno.makeTempDirSync({ prefix: "mutants-" });
    Deno.mkdirSync(`${this.#folder}/tests`);
    for (const path of NEEDED) copy(`${root}/${path}`, `${this.#folder}/${path}`);
    this.#properties = propertyFiles(`${root}/tests/properties`)
      .filter((name) => name.includes(part));
    for (const name of this.#properties) {
      this.#texts.set(name, Deno.readTextFileSync(`${root}/tests/properties/${name}`));
    }
  }

  /** Removes the copy. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }

  /**
   * Runs the properties without a mutant.
   *
   * @returns the seconds that each file takes.
   * @throws {Error} if they fail: then nothing could be said.
   */
  async check(): Promise<Map<string, number>> {
    const times = new Map<string, number>();
    for (const name of this.#properties) {
      const { code, seconds, output } = await this.#run([name], 600);
      if (code !== 0) {
        throw new Error(`Expected the properties to hold but got\n${output.slice(-4000)}`);
      }
      times.set(name, seconds);
    }
    return times;
  }

  /**
   * The properties with a mutant, those that speak most of its function first. A run that takes several
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
        if (result.code !== 0) {
          return { mutant, verdict: "caught", by: failedTest(result.output), seconds };
        }
      }
      return { mutant, verdict: "survived", by: null, seconds };
    } finally {
      Deno.writeTextFileSync(path, original);
    }
  }

  /** The file that names the function most often, then the others. */
  #inOrder({ file, unit }: Mutant): string[][] {
    const topic = file.split("/").pop()!.replace(".ts", "");
    const word = new RegExp(`\\b${unit.split(".").pop()!.replace("#", "")}\\b`, "g");
    const score = (name: string) =>
      (this.#texts.get(name)!.match(word) ?? []).length +
      (this.#texts.get(name)!.includes(`/${topic}.ts"`) ? 0.5 : 0) + (name.includes(topic) ? 1 : 0);
    const order = [...this.#properties].sort((a, b) => score(b) - score(a));
    return [order.slice(0, 1), order.slice(1)].filter((files) => files.length > 0);
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
        "--allow-read",
        "--allow-env",
        ...files.map((name) => `tests/properties/${name}`),
      ],
      cwd: this.#folder,
      env: { NO_COLOR: "1", SHRINK: "no" },
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
