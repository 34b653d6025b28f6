/**
 * The oracle as a child process under lines that no client should send: seeded, and made of good
 * requests, so that they get past the first check.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { MAX_LINE } from "../../src/oracle/lines.ts";
import { CASES } from "../oracle/cases/mod.ts";
import { Draws } from "./fuzz.ts";
import { oracleInMemory } from "./oracle_session.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** A line as it is sent, and the answer that it must get; null where only the envelope is known. */
interface Sent {
  readonly bytes: Uint8Array;
  readonly answer: string | null;
}

/** Good requests, those that need files left out, with the answers of an oracle in this process. */
function goodRequests(): { readonly request: object; readonly answer: (id: number) => string }[] {
  const { oracle } = oracleInMemory();
  return CASES.filter(({ request }) => request.op !== "unet").map(({ request }) => {
    const answer = oracle.answer(JSON.stringify({ id: 0, ...request }));
    assert(answer.startsWith('{"id":0,"ok":true,'), answer);
    return { request, answer: (id) => answer.replace('{"id":0,', `{"id":${id},`) };
  });
}
const GOOD = goodRequests();

const NASTY: readonly unknown[] = [
  ...[null, true, "", "Infinity", "__proto__", 0, -0, -1, 0.5, 1, 2, 3, 1e-320, 1e308, 2 ** 31],
  ...[
    2 ** 32,
    2 ** 53,
    1e15,
    [],
    {},
    [[]],
    [0],
    [1e308, 1],
    "\u0000\ud800",
    new Array(300).fill(0),
  ],
];

/** Everything inside a request that can be put elsewhere: objects and lists by key. */
function places(value: unknown): { owner: Record<string, unknown>; key: string }[] {
  if (typeof value !== "object" || value === null) return [];
  const owner = value as Record<string, unknown>;
  return Object.keys(owner).flatMap((key) => [{ owner, key }, ...places(owner[key])]);
}

/** A request with one to three of its values, at any depth, replaced, removed or taken from another. */
function mutated(request: object, draws: Draws): string {
  const copy = structuredClone(request);
  for (let left = 1 + draws.below(3); left > 0; left--) {
    const all = places(copy);
    if (all.length === 0) break;
    const { owner, key } = draws.oneOf(all);
    const others = places(draws.oneOf(GOOD).request), other = draws.oneOf(others);
    const kind = draws.below(4);
    if (kind === 0 && !Array.isArray(owner)) delete owner[key];
    else owner[key] = structuredClone(kind === 1 ? other.owner[other.key] : draws.oneOf(NASTY));
  }
  return JSON.stringify(copy);
}

/** Any bytes but line feeds. */
function randomBytes(length: number, draws: Draws): Uint8Array {
  return Uint8Array.from({ length }, () => draws.below(256)).map((b) => b === 10 ? 13 : b);
}

/** A good request's bytes cut off, overwritten in places, or followed by another's. */
function damaged(text: string, draws: Draws): Uint8Array {
  const bytes = encoder.encode(text), at = draws.below(bytes.length);
  switch (draws.below(3)) {
    case 0:
      return bytes.subarray(0, at);
    case 1: {
      const patch = randomBytes(1 + draws.below(6), draws).subarray(0, bytes.length - at);
      bytes.set(patch, at);
      return bytes;
    }
    default:
      return encoder.encode(text.slice(0, at) + JSON.stringify(draws.oneOf(GOOD).request));
  }
}

/** A good request with spaces after it, up to a length. */
function padded(id: number, length: number, draws: Draws): Sent {
  const { request, answer } = draws.oneOf(GOOD);
  const text = JSON.stringify({ id, ...request });
  const bytes = new Uint8Array(length).fill(32);
  bytes.set(encoder.encode(text));
  // A longer line is not read, and its answer names the limit.
  return { bytes, answer: length > MAX_LINE ? `{"id":${id},"ok":false,` : answer(id) };
}

/** Lines of about the limit: padded, of one field, of numbers, of brackets. */
function huge(id: number, draws: Draws): Sent {
  const length = MAX_LINE + draws.oneOf([-1, 0, 1, MAX_LINE]);
  const filled = (start: string, unit: string) => {
    const bytes = encoder.encode(start + unit.repeat((length - start.length) / unit.length));
    return { bytes, answer: null };
  };
  switch (draws.below(4)) {
    case 0:
      return padded(id, length, draws);
    case 1:
      return filled(`{"id":${id},"op":"`, "a");
    case 2:
      return filled('{"op":"loss_simple","epsilon":{"shape":[1],"data":[0', ",1");
    default:
      return filled("", draws.oneOf(["[", '{"a":', " ", "\\", "\xff"]));
  }
}

/** One line in `HUGE_EVERY` is of about the limit. */
const HUGE_EVERY = 1000;

/** The k-th line. */
function lineOf(k: number, draws: Draws): Sent {
  if (k % HUGE_EVERY === HUGE_EVERY / 2) return huge(k, draws);
  const { request, answer } = draws.oneOf(GOOD), text = JSON.stringify({ id: k, ...request });
  // Every second line is good, so that a bad one is mostly followed by one whose answer is known.
  if (k % 2 === 1) return { bytes: encoder.encode(text), answer: answer(k) };
  const kind = draws.below(20);
  if (kind < 10) {
    return { bytes: encoder.encode(mutated({ id: k, ...request }, draws)), answer: null };
  }
  if (kind < 15) return { bytes: damaged(text, draws), answer: null };
  if (kind < 18) {
    return { bytes: randomBytes(draws.below(draws.oneOf([1, 2, 400])), draws), answer: null };
  }
  if (kind < 19) return padded(k, 2 ** 16, draws);
  return { bytes: encoder.encode("[".repeat(draws.below(20_000))), answer: null };
}

/** Codes of faults that are the request's; `internal` would be one of the oracle. */
const CODES = ["invalid_argument", "unknown_op", "unsupported", "line_too_long"];

/** Checks one answer. @returns whether it is one that was known beforehand. */
function checkAnswer(text: string, { bytes, answer }: Sent): boolean {
  const shown = `${decoder.decode(bytes.subarray(0, 300))} → ${text.slice(0, 300)}`;
  if (answer !== null) {
    assert(answer.endsWith(",") ? text.startsWith(answer) : text === answer, shown);
    if (answer.endsWith(",")) assert(text.includes('"line_too_long"'), shown);
    return true;
  }
  const parsed = JSON.parse(text);
  assertEquals(Object.keys(parsed), ["id", "ok", parsed.ok ? "result" : "error"], shown);
  if (parsed.ok) return false;
  assert(CODES.includes(parsed.error.code), shown);
  assert(parsed.error.message.startsWith("Expected "), shown);
  return false;
}

/**
 * Resident memory of a process in MiB, null once it has ended. Deno itself reads nothing under /proc
 * without every permission.
 */
async function residentMemory(pid: number): Promise<number | null> {
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/status`],
    stderr: "null",
  }).output();
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(decoder.decode(stdout))?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) / 1024;
}

/** What a run has seen. */
export interface Abuse {
  /** How many lines were sent. */
  readonly lines: number;
  /** How many answers came, each checked in its turn. */
  readonly answers: number;
  /** How many of them had to be one known text. */
  readonly known: number;
  /** Resident memory in MiB after every hundredth of the lines, as long as it ran. */
  readonly memory: readonly number[];
  /** What the oracle wrote to standard error. */
  readonly errors: string;
  /** Its exit code once its input had ended. */
  readonly code: number;
}

/**
 * Sends `lines` lines to `deno task oracle`'s program and checks each answer.
 *
 * @throws {AssertionError} at the first answer that is none, or is wrong.
 */
export async function abuse(lines: number, seed: number): Promise<Abuse> {
  const folder = await Deno.makeTempDir();
  const script = new URL("../../src/cli/oracle.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    // What a mutated request may name as a file stays in a folder of its own.
    args: ["run", "--no-prompt", `--allow-read=${folder}`, `--allow-write=${folder}`, script],
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const sent: Sent[] = [];
  const draws = new Draws(seed);
  const feed = async () => {
    const writer = child.stdin.getWriter();
    for (let k = 0; k < lines; k++) {
      const line = lineOf(k, draws);
      sent.push(line);
      await writer.write(line.bytes);
      // The last line ends with the input.
      if (k < lines - 1) await writer.write(Uint8Array.of(10));
    }
    await writer.close();
  };
  const errors = new Response(child.stderr).text();
  const fed = feed().catch(() => {});
  const memory: number[] = [];
  let answers = 0, known = 0, rest = "";
  try {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const answer of parts) {
        const line = sent.shift();
        assert(line !== undefined, `an answer to nothing: ${answer.slice(0, 300)}`);
        if (checkAnswer(answer, line)) known++;
        if (++answers % Math.ceil(lines / 100) !== 0) continue;
        const now = await residentMemory(child.pid);
        if (now !== null) memory.push(now);
      }
    }
    assertEquals(rest, "");
    await fed;
    const { code } = await child.status;
    return { lines, answers, known, memory, errors: await errors, code };
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended, as it should.
    }
    await Deno.remove(folder, { recursive: true });
  }
}
