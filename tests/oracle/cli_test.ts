import { assert, assertEquals } from "@std/assert";
import { decodeSafetensors, storedDoubles } from "../../src/spec/safetensors.ts";
import { MAX_LINE } from "../../src/oracle/lines.ts";
import type { Answer } from "../support/oracle_session.ts";

const script = new URL("../../src/cli/oracle.ts", import.meta.url).pathname;
const golden = new URL("../golden/diffusers_unet_tiny/", import.meta.url).pathname;

function start(args: string[] = []): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-read", "--allow-write", script, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs the program on an input, and returns its exit code and what it wrote. */
async function run(
  input: (string | Uint8Array)[],
  args: string[] = [],
): Promise<{ code: number; out: string; err: string }> {
  const child = start(args);
  const writer = child.stdin.getWriter();
  const feed = (async () => {
    for (const part of input) {
      await writer.write(typeof part === "string" ? new TextEncoder().encode(part) : part);
    }
    await writer.close();
  })();
  const { code, stdout, stderr } = await child.output();
  await feed;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

function answersIn(out: string): Answer[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("the program answers line by line, survives bad ones, and ends well with its input", async () => {
  const { code, out, err } = await run([
    '{"id": 1, "op": "hello"}\n',
    "nonsense\n\n",
    new Uint8Array([0xff, 0xfe, 10]),
    '{"id": 2, "op": "random_bits", "seed": 0, "stream": 0,',
    ' "index": 0, "count": 1}\r\n',
    new Uint8Array(MAX_LINE + 1).fill(97),
    '\n{"id": 3, "op": "hello"}',
  ]);
  assertEquals(code, 0, err);
  assertEquals(err, "");
  const answers = answersIn(out);
  assertEquals(answers.map(({ id }) => id), [1, null, null, null, 2, null, 3]);
  assertEquals(
    answers.map(({ error }) => error?.code ?? "ok"),
    [
      "ok",
      "invalid_argument",
      "invalid_argument",
      "invalid_argument",
      "ok",
      "line_too_long",
      "ok",
    ],
  );
  assertEquals(answers[4].result, { integers: [0x6627e8d5] });
});

Deno.test("a request is answered before the input ends", async () => {
  const child = start();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  for (const id of [1, 2, 3]) {
    await writer.write(new TextEncoder().encode(`{"id": ${id}, "op": "nothing"}\n`));
    let line = "";
    while (!line.endsWith("\n")) line += (await reader.read()).value ?? "";
    assertEquals(JSON.parse(line).id, id);
  }
  await writer.close();
  await reader.cancel();
  await child.stderr.cancel();
  assertEquals((await child.status).code, 0);
});

Deno.test("an empty input has no answers; --help has examples; other arguments are refused", async () => {
  assertEquals(await run([]), { code: 0, out: "", err: "" });
  const help = await run([], ["--help"]);
  assertEquals(help.code, 0);
  for (const word of ["Examples", "deno task oracle", "hello", "docs/protocol.md"]) {
    assert(help.out.includes(word), `the help has no ${word}`);
  }
  const wrong = await run([], ["--verbose"]);
  assertEquals([wrong.code, wrong.out], [2, ""]);
  assert(wrong.err.includes("--verbose"));
});

Deno.test("a device is not read as a file: it might never end", async () => {
  const x = { safetensors: "/dev/null", name: "x" };
  const request = { op: "loss_simple", epsilon: x, epsilonHat: x };
  const { code, out } = await run([JSON.stringify(request)]);
  assertEquals(code, 0);
  assert(answersIn(out)[0].error?.message.includes("not a regular file"), out);
});

Deno.test("a published U-Net runs from its files, and leaves its gradients in one", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const out = `${folder}/out.safetensors`;
    const io = `${golden}io.safetensors`;
    const expected = JSON.parse(await Deno.readTextFile(`${golden}expected.json`));
    const stored = decodeSafetensors(await Deno.readFile(io)).tensors;
    const valuesOf = (name: string) => {
      const tensor = stored.get(name);
      assert(tensor !== undefined, `the golden file has no ${name}`);
      return storedDoubles(tensor);
    };
    const request = {
      op: "unet",
      config: JSON.parse(await Deno.readTextFile(`${golden}config.json`)),
      weights: `${golden}diffusion_pytorch_model.safetensors`,
      x: { safetensors: io, name: "x" },
      timesteps: Array.from(valuesOf("t")),
      target: { safetensors: io, name: "target" },
      out,
    };
    const { code, out: text, err } = await run([JSON.stringify(request)]);
    assertEquals(code, 0, err);
    const [{ ok, result }] = answersIn(text);
    assert(ok);
    const output = result?.output as { shape: number[]; data: number[] };
    // The golden file has its own float32 run's distance from the double one. Ours rounds no more
    // often than that run, and in other places: allow the same again on top.
    const bound = 2 * expected.max_abs_out_f32_minus_f64;
    const want = valuesOf("out");
    const worst = Math.max(...output.data.map((value, i) => Math.abs(value - want[i])));
    assert(worst <= bound, `the output is ${worst} away, over ${bound}`);
    // |Δ mean e²| ≤ 2·mean|e|·bound + bound², and mean|e| ≤ √loss.
    const lossBound = 2 * Math.sqrt(expected.loss) * bound + bound ** 2;
    assert(Math.abs(Number(result?.loss) - expected.loss) <= lossBound);

    const written = decodeSafetensors(await Deno.readFile(out)).tensors;
    const names = Object.keys(expected.grads_keyed_by_modern_names);
    assertEquals(
      [...written.keys()].sort(),
      ["output", "grad.x", ...names.map((name) => `grad.${name}`)].sort(),
    );
    const again = written.get("output");
    assert(again !== undefined);
    assertEquals(Array.from(storedDoubles(again)), output.data);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["out.safetensors"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
