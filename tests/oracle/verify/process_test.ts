/** `verify` as a program: candidates in processes of their own, right, wrong and broken. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { lacks } from "../../support/programs.ts";

const root = new URL("../../..", import.meta.url).pathname;
const candidates = new URL("../../candidates/", import.meta.url).pathname;
const PYTHON = "python3";

const ignore = lacks(PYTHON);

async function verify(
  flags: string[],
  candidate: string[],
): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--allow-run", "--allow-read", "--allow-write"],
      `${root}src/cli/verify.ts`,
      ...flags,
      ...(candidate.length > 0 ? ["--", ...candidate] : []),
    ],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

function right(...flags: string[]): string[] {
  return [PYTHON, `${candidates}right.py`, ...flags];
}

function broken(how: string): string[] {
  return [PYTHON, `${candidates}broken.py`, how];
}

Deno.test({
  name: "a right candidate in Python conforms, in double and in float32",
  ignore,
  fn: async () => {
    const flags = ["--ops", "schedule,q_posterior,ddim_step,timesteps,decoder_nll", "--runs", "40"];
    const [double, single] = await Promise.all([
      verify(flags, right()),
      verify(flags, right("--float32")),
    ]);
    assertEquals(double.code, 0, double.out + double.err);
    assertStringIncludes(double.out, "verdict: conforms");
    assert(!double.out.includes("note:"));
    assertEquals(single.code, 0, single.out + single.err);
    assertStringIncludes(single.out, "float32 cumulative product");
  },
});

Deno.test({
  name: "a planted fault is found, explained, written down and replayed",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const junit = `${folder}/verify.xml`, faulty = right("--fault", "beta-for-tilde");
      const flags = ["--ops", "q_posterior,q_sample", "--runs", "30", "--json", "--junit", junit];
      const { code, out } = await verify(flags, faulty);
      assertEquals(code, 1);
      const { ops } = JSON.parse(out);
      assertEquals(ops[0].verdict + ops[1].verdict, "conformsdeviates");
      assertEquals(ops[1].failure.cause, "β where β̃ is expected");
      assertStringIncludes(await Deno.readTextFile(junit), '<failure message="variance is off');
      const request = JSON.stringify(ops[1].failure.request);
      assert(request.length < 300, request);
      await Deno.writeTextFile(`${folder}/requests.jsonl`, `${request}\n\n${request}\n`);
      const [again, fromFile, repaired] = await Promise.all([
        verify(["--replay", request], faulty),
        verify(["--replay", `${folder}/requests.jsonl`], faulty),
        verify(["--replay", request], right()),
      ]);
      assertEquals([again.code, fromFile.code, repaired.code], [1, 1, 0]);
      assertStringIncludes(again.out, "likely    β where β̃ is expected");
      assertStringIncludes(again.out, "--replay '{");
      assertEquals(fromFile.out.match(/likely/g)?.length, 2);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "a network's weights go to a candidate in a file, and are written again for a replay",
  ignore,
  fn: async () => {
    const faulty = right("--fault", "unet-skip-first");
    const { code, out } = await verify(["--ops", "unet", "--json"], faulty);
    assertEquals(code, 1);
    const [{ failure }] = JSON.parse(out).ops;
    assertEquals(failure.cause, "skips are appended before h and not after it");
    const replay = ["--replay", JSON.stringify(failure.request)];
    const [again, repaired] = await Promise.all([verify(replay, faulty), verify(replay, right())]);
    assertEquals([again.code, repaired.code], [1, 0], again.err + repaired.err);
  },
});

Deno.test({
  name: "a candidate that breaks ends the program with code 2 and a reason, and never for ever",
  ignore,
  fn: async () => {
    const cases: [how: string, says: string][] = [
      ["die", "the candidate ended: exit code 3; its standard error ends:\nout of luck"],
      ["rubbish", 'Expected a line of JSON but got "loading weights'],
      ["other-id", "Expected the answer with id 2"],
      ["unfinished", "Expected a line of JSON"],
      ["flood", "Expected a line of at most 8388608 bytes"],
      ["flood-lines", "Expected the answer with id 2"],
      ["not-utf8", "Expected a line of UTF-8"],
      ["bad-hello", "Expected hello to list"],
      ["ends-at-once", "the candidate ended: exit code 1"],
    ];
    const flags = ["--ops", "q_sample"];
    // Two at a time: the answers' deadline counts for a busy machine as well.
    for (let i = 0; i < cases.length; i += 2) {
      await Promise.all(
        cases.slice(i, i + 2).map(async ([how, says]) => {
          const { code, out, err } = await verify(flags, broken(how));
          assertEquals(code, 2, `${how}: ${out}${err}`);
          assertStringIncludes(out + err, says, how);
        }),
      );
    }
    const [hang, unfinished, nan, shape] = await Promise.all([
      verify([...flags, "--timeout", "1"], broken("hang")),
      verify([...flags, "--timeout", "1"], broken("unfinished-hang")),
      verify([...flags, "--runs", "5"], broken("nan")),
      verify([...flags, "--runs", "5"], broken("wrong-shape")),
    ]);
    assertEquals([hang.code, unfinished.code, nan.code, shape.code], [2, 2, 1, 1]);
    assertStringIncludes(hang.out, "Expected an answer within 1 s but got none");
    assertStringIncludes(nan.out, "x is NaN");
    assertStringIncludes(shape.out, "  got       shape [7] of 7 values");
  },
});

Deno.test("a wrong command line is refused in one line with code 2", async () => {
  const cases: [flags: string[], candidate: string[], says: string][] = [
    [[], [], "Expected a command after --"],
    [["--ops", "sample"], ["deno", "--version"], "sample"],
    [["--runs", "0"], ["true"], "--runs"],
    [["--replay", "{"], ["true"], "--replay"],
    [["--replay", "nowhere.jsonl"], ["true"], "--replay"],
    [[], ["no-such-program-of-mine"], "Expected to start no-such-program-of-mine"],
  ];
  await Promise.all(cases.map(async ([flags, candidate, says]) => {
    const { code, err } = await verify(flags, candidate);
    assertEquals(code, 2, err);
    assertEquals(err.trimEnd().split("\n").length, 1, err);
    assertStringIncludes(err, says);
  }));
});
