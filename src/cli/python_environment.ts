/**
 * A Python environment with the packages that `interop` checks against.
 *
 * @module
 */
import { duration, FailureError, note, ProgressLine } from "./terminal.ts";

const REQUIREMENTS = "adapters/requirements.txt";
/** The versions of Python that all of them are published for. */
const MINOR = { least: 11, most: 13 };

/** How a program ended, and all that it said. */
interface Ending {
  readonly success: boolean;
  readonly text: string;
}

/** Hands every line of a stream on. */
async function eachLine(
  stream: ReadableStream<Uint8Array>,
  hear: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() as string;
    lines.forEach(hear);
  }
  if (rest !== "") hear(rest);
}

/** Runs a program to its end. @throws {FailureError} if it does not start. */
async function ran(
  program: string,
  args: readonly string[],
  hear: (line: string) => void = () => {},
): Promise<Ending> {
  let child;
  try {
    child = new Deno.Command(program, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(
      `Expected to start ${program} but got: ${reason}: install Python 3.${MINOR.least} to ` +
        `3.${MINOR.most}, or name one with --python`,
    );
  }
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
    hear(line);
  };
  await Promise.all([eachLine(child.stdout, keep), eachLine(child.stderr, keep)]);
  return { success: (await child.status).success, text: lines.join("\n") };
}

/** Whether a program is there and does that. */
async function works(program: string, args: readonly string[]): Promise<boolean> {
  try {
    return (await ran(program, args)).success;
  } catch (error) {
    if (error instanceof FailureError) return false;
    throw error;
  }
}

/** Refuses a Python that the packages are not published for. */
async function checkVersion(python: string): Promise<void> {
  const code = "import sys; print(*sys.version_info[:2])";
  const { success, text } = await ran(python, ["-c", code]);
  const [major, minor] = text.trim().split(" ").map(Number);
  if (success && major === 3 && minor >= MINOR.least && minor <= MINOR.most) return;
  throw new FailureError(
    `Expected ${python} to be Python 3.${MINOR.least} to 3.${MINOR.most} but got ` +
      `${success ? `${major}.${minor}` : `"${lastLine(text)}"`}: name another with --python`,
  );
}

async function makeEnvironment(venv: string, python: string): Promise<void> {
  await checkVersion(python);
  note(`Making ${venv}`);
  const { success, text } = await ran(python, ["-m", "venv", venv]);
  if (success) return;
  const advice = /ensurepip|No module named venv/.test(text)
    ? ": it lacks a part, which Debian and Ubuntu have as the package python3-venv"
    : "";
  const reason = /ensurepip is not/.test(text) ? "ensurepip is not available" : lastLine(text);
  throw new FailureError(`Expected ${python} to make ${venv} but got "${reason}"${advice}`);
}

/** Installs the requirements with pip, saying how far it is. */
async function install(program: string): Promise<void> {
  note(`Installing ${REQUIREMENTS} from PyPI, some 6 GB`);
  const progress = new ProgressLine(), started = performance.now();
  let doing = "starting pip";
  const show = (): void =>
    progress.update(`pip: ${doing}, ${duration((performance.now() - started) / 1000)}`);
  const timer = setInterval(show, 1000);
  try {
    const args = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"];
    const { success, text } = await ran(program, [...args, "-r", REQUIREMENTS], (line) => {
      // "Collecting …", "Downloading NAME (SIZE)", "Installing collected packages: …"; no bars.
      const said = line.trim().match(/^(Collecting|Downloading|Installing|Building) .*/)?.[0];
      if (said !== undefined) doing = said.length > 70 ? `${said.slice(0, 70)}…` : said;
    });
    if (!success) throw new FailureError(installFailure(text));
    show();
  } finally {
    clearInterval(timer);
    progress.finish();
  }
}

/** Why pip failed, in a line. */
function installFailure(text: string): string {
  const errors = text.split("\n").filter((line) => line.startsWith("ERROR: "));
  // Where versions are missing the first error says which ones are there, and the last one only repeats it.
  const reason = errors[0]?.slice("ERROR: ".length) ?? lastLine(text);
  const offline =
    /connection broken by|NewConnectionError|NameResolutionError|timed out/i.test(text)
      ? "; the package index could not be reached, and installing needs a network"
      : "";
  return `Expected pip to install ${REQUIREMENTS} but got "${reason}"${offline}`;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}

async function readText(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/**
 * Makes an environment with the packages of `adapters/requirements.txt`, or brings one up to them. A file `ready`
 * in it says that this was done.
 *
 * @param venv its folder.
 * @param python the Python that makes it.
 * @returns the environment's Python.
 * @throws {FailureError} if there is no such file, no such Python, no way to make environments, or no network.
 */
export async function pythonEnvironment(venv: string, python: string): Promise<string> {
  const program = `${venv}/bin/python`, marker = `${venv}/ready`;
  const wanted = await readText(REQUIREMENTS);
  if (wanted === null) {
    throw new FailureError(`Expected ${REQUIREMENTS}: run this in a checkout of the package`);
  }
  if (await readText(marker) === wanted && await works(program, ["-c", ""])) return program;
  // An environment may have been left without pip by an attempt that failed.
  if (!await works(program, ["-m", "pip", "--version"])) await makeEnvironment(venv, python);
  await install(program);
  await Deno.writeTextFile(marker, wanted);
  return program;
}
