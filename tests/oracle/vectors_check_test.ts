/** Answers to vectors are judged as `verify` judges, and files that are broken are told from answers that are. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ops as OPS } from "../../src/oracle/ops/mod.ts";
import { type Checked, checkVectors, makeVectors } from "../../src/oracle/vectors/mod.ts";
import type { Precision } from "../../src/oracle/verify/mod.ts";
import { FormatError } from "../../src/spec/format_error.ts";

const provenance = { version: "0.1.0", runtime: "this one" };
const encoder = new TextEncoder(), decoder = new TextDecoder();
type Files = Map<string, Uint8Array<ArrayBuffer>>;

/** Vectors of some operations, or all. */
async function vectorsOf(...ops: string[]): Promise<Files> {
  return new Map(
    await makeVectors({
      seed: 1,
      provenance,
      ops: ops.length > 0 ? ops : undefined,
    }),
  );
}

function check(files: Files, answers: boolean, precision: Precision = "f32"): Promise<Checked> {
  return checkVectors((path) => Promise.resolve(files.get(path) ?? null), { answers, precision });
}

/** The lines of an operation's requests or responses. */
function linesOf(files: Files, op: string, what: "request" | "response"): string[] {
  const { pairs } = JSON.parse(decoder.decode(files.get(`${op}.json`)));
  return pairs.map((pair: Record<string, unknown>) => JSON.stringify(pair[what]));
}

function answer(files: Files, op: string, lines: readonly string[]): void {
  files.set(`answers/${op}.jsonl`, encoder.encode(`${lines.join("\n")}\n`));
}

/** Verdicts by operation. */
function verdictsOf({ report }: Checked): Record<string, string> {
  return Object.fromEntries(report.ops.map(({ op, verdict }) => [op, verdict]));
}

/** A folder with all answers of one operation, and the report after `change` to its lines. */
async function afterChange(
  op: string,
  change: (lines: string[]) => readonly string[],
): Promise<Checked["report"]["ops"][number]> {
  const files = await vectorsOf(op);
  answer(files, op, change(linesOf(files, op, "response")));
  const { report, faults } = await check(files, true);
  assertEquals(faults, []);
  return report.ops[0];
}

Deno.test("vectors conform to themselves exactly", async () => {
  const { report, faults } = await check(await vectorsOf(), false);
  assertEquals(faults, []);
  assertEquals(report.verdict, "conforms");
  assertEquals(report.ops.map(({ op }) => op), Object.keys(OPS));
  for (const { op, verdict, worst } of report.ops) {
    assertEquals([verdict, worst], ["conforms", 0], op);
  }
});

/** The answers of a program under tests/candidates to every request in `files`. */
async function answersOf(files: Files, ops: readonly string[], command: string[]): Promise<void> {
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    cwd: new URL("../candidates", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const asked = ops.map((op) => linesOf(files, op, "request"));
  const writer = child.stdin.getWriter();
  const fed = writer.write(encoder.encode(`${asked.flat().join("\n")}\n`))
    .then(() => writer.close());
  const lines = decoder.decode((await child.output()).stdout).trimEnd().split("\n");
  await fed;
  ops.forEach((op, i) => answer(files, op, lines.splice(0, asked[i].length)));
}

Deno.test("answers in float32 with float32 tables conform, which the tables among the answers show", async () => {
  const files = await vectorsOf(), ops = ["schedule", "q_sample", "q_posterior", "ddim_step"];
  await answersOf(files, ops, [Deno.execPath(), "run", "--no-prompt", "float32.mjs"]);
  const { report } = await check(files, true);
  for (const { op, verdict } of report.ops) {
    assertEquals(verdict, ops.includes(op) ? "conforms" : "not covered", op);
  }
  assertEquals(report.notes.length, 1);
});

Deno.test("with its float32 tables among the answers, smaller errors of a candidate are found", async () => {
  const files = await vectorsOf("schedule", "q_posterior"), ops = ["schedule", "q_posterior"];
  await answersOf(files, ops, [Deno.execPath(), "run", "--no-prompt", "float32.mjs"]);
  const lines = decoder.decode(files.get("answers/q_posterior.jsonl")).trimEnd().split("\n");
  // 84 roundings: next to nothing where a float32 1 − ᾱ from the rule on may be meant.
  const shifted = lines.map((line) => {
    const { id, ok, result } = JSON.parse(line);
    const data = result.mean.data.map((x: number) => x * (1 + 5e-6));
    return JSON.stringify({ id, ok, result: { ...result, mean: { ...result.mean, data } } });
  });
  answer(files, "q_posterior", shifted);
  const deviations = async () => {
    const { report } = await check(files, true);
    return Number(/\((\d+) of/.exec(report.ops[1].failure?.message ?? "")?.[1] ?? 0);
  };
  const sharp = await deviations();
  files.delete("answers/schedule.jsonl");
  const wide = await deviations();
  assert(sharp >= 2 * wide && sharp >= 20, `${sharp} and ${wide}`);
});

Deno.test("a mistake in one operation deviates there, with its cause and how many requests show it", async () => {
  const files = await vectorsOf(), ops = ["schedule", "q_sample", "ddim_step", "adam_step"];
  await answersOf(files, ops, ["python3", "right.py", "--fault", "epsilon-kept"]);
  const checked = await check(files, true), { report } = checked;
  assertEquals(report.verdict, "deviates");
  for (const op of ops) {
    assertEquals(verdictsOf(checked)[op], op === "ddim_step" ? "deviates" : "conforms", op);
  }
  const failure = report.ops.find(({ op }) => op === "ddim_step")?.failure;
  assertStringIncludes(failure?.message ?? "", "deviate)");
  assertStringIncludes(failure?.cause ?? "", "re-derived");
});

Deno.test("an answer off by more than rounding deviates, a bare NaN too; an unknown operation is not covered", async () => {
  const shifted = (lines: string[]) =>
    lines.with(4, lines[4].replace(/"data":\[(-?[\d.]+)/, (_, x) => `"data":[${Number(x) + 1e-3}`));
  const off = await afterChange("ema_step", shifted);
  assertEquals([off.verdict, off.requests], ["deviates", 60]);
  assertStringIncludes(off.failure?.message ?? "", "(1 of 60 deviate)");
  const nan = await afterChange(
    "ema_step",
    (lines) => lines.with(0, lines[0].replace(/"data":\[[^,\]]+/, '"data":[NaN')),
  );
  assertEquals(nan.verdict, "deviates");
  const unknown = await afterChange(
    "ema_step",
    (lines) =>
      lines.map((_, i) =>
        `{"id":${i + 1},"ok":false,"error":{"code":"unknown_op","message":"none"}}`
      ),
  );
  assertEquals([unknown.verdict, unknown.notCovered], ["not covered", ["none"]]);
});

Deno.test("answers may come in any order, with empty lines and carriage returns", async () => {
  const shuffled = await afterChange(
    "ema_step",
    (lines) => ["", ...lines.toReversed().map((line) => `${line}\r`)],
  );
  assertEquals([shuffled.verdict, shuffled.requests], ["conforms", 60]);
});

Deno.test("answers that are missing, twice there, of no request or no JSON break, each with its sentence", async () => {
  const broken: [(lines: string[]) => readonly string[], string][] = [
    [(lines) => lines.slice(0, -1), "Expected an answer to request 60 but got none"],
    [(lines) => [...lines, lines[2]], "Expected one answer to request 3 but line 61 is another"],
    [(lines) => lines.with(1, '{"id":990,"ok":true}'), "Expected an id in 1..60 in line 2"],
    [(lines) => lines.with(1, "garbage"), "Expected an id in 1..60 in line 2"],
    [(lines) => lines.with(0, lines[0].slice(0, -9)), "Expected a line of JSON but got"],
    [(lines) => lines.with(0, '{"id":1,"ok":true,"result":{}}'), "Expected ema in the result"],
    [(lines) => lines.with(0, '{"id":1,"ok":true}'), "Expected ema in the result"],
  ];
  for (const [change, says] of broken) {
    const { verdict, failure } = await afterChange("ema_step", change);
    assertEquals(verdict, "broke", says);
    assertStringIncludes(failure?.message ?? "", says);
  }
  const files = await vectorsOf("ema_step");
  files.set("answers/ema_step.jsonl", new Uint8Array([0xff, 10]));
  const { report } = await check(files, true);
  assertStringIncludes(
    report.ops[0].failure?.message ?? "",
    "answers/ema_step.jsonl: Expected UTF-8",
  );
});

Deno.test("a file that is missing, or has one other byte, is a fault; the others are still judged", async () => {
  const files = await vectorsOf("schedule", "q_step");
  files.delete("q_step.json");
  const tensors = files.get("tensors.safetensors");
  assert(tensors !== undefined);
  files.set("tensors.safetensors", tensors.with(tensors.length - 1, 1));
  const checked = await check(files, false);
  assertEquals(checked.faults.length, 2);
  assertStringIncludes(checked.faults[0], "Expected q_step.json but there is none");
  assertStringIncludes(checked.faults[1], "Expected tensors.safetensors of SHA-256");
  assertEquals(verdictsOf(checked), { schedule: "conforms" });
});

Deno.test("manifests and files that are none are refused in a sentence, and nothing outside is read", async () => {
  const files = await vectorsOf("q_step");
  const manifest = JSON.parse(decoder.decode(files.get("manifest.json")));
  const [entry] = manifest.files;
  const withFiles = (...entries: unknown[]) => JSON.stringify({ ...manifest, files: entries });
  const bad: [string, string][] = [
    ["", "manifest.json to be JSON"],
    ["[]", "manifest.json to hold an object"],
    ["{}", "format 1 but got none"],
    [JSON.stringify({ ...manifest, format: 2 }), "format 1 but got 2"],
    [JSON.stringify({ ...manifest, files: {} }), "seed, version and files"],
    [withFiles({ ...entry, path: "../q_step.json" }), "files[0]"],
    [withFiles({ ...entry, path: "/etc/passwd", op: undefined }), "files[0]"],
    [withFiles(entry, { ...entry, op: "constructor", path: "constructor.json" }), "files[1]"],
    [withFiles({ ...entry, sha256: "00" }), "files[0]"],
    [withFiles(entry, entry), "q_step.json is there twice"],
    [withFiles({ ...entry, count: 1 }), "1 pairs in q_step.json"],
  ];
  for (const [text, says] of bad) {
    const changed = new Map(files).set("manifest.json", encoder.encode(text));
    const error = await assertRejects(() => check(changed, false), FormatError);
    assertStringIncludes(error.message, says);
    assert(error.message.startsWith("Expected ") && !error.message.includes("\n"), error.message);
  }
  files.delete("manifest.json");
  await assertRejects(() => check(files, false), FormatError, "there is none");
});
