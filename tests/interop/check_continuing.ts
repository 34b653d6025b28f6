/**
 * A run that goes to PyTorch and back: `deno run --allow-read --allow-write --allow-run
 * tests/interop/check_continuing.ts PYTHON`, with an environment that has torch and diffusers.
 *
 * No step in PyTorch must leave every byte of the checkpoint as it was. After one step, the moments, weights and
 * averages must hang together as one step of Adam from where the run stood has them: then step, learning rate, moments and
 * averages all arrived. (What the gradient should be is the business of tests/interop/check_unets.ts.)
 *
 * @module
 */
import { readDiffusersFolder } from "../../src/convert/diffusers_folder.ts";
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { encodeNpz } from "../../src/data/npz.ts";
import { U32 } from "../../src/math/float32.ts";
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SMALL, liveParameters } from "./cases.ts";

const SCRIPT = new URL("../../adapters/continue_with_pytorch.py", import.meta.url).pathname;

const STEP = 20, LR = 1e-3, EMA = 0.999;

/** A half trained network with classes that predicts v. */
function halfTrained(): Checkpoint {
  const unet = { ...DDPM_SMALL, numClassEmbeds: 5 };
  const [ema, model, m, any] = [1, 2, 3, 4].map((seed) => liveParameters(unet, seed));
  const v = new Map(
    [...any].map(([k, { shape, data }]) => [k, { shape, data: data.map(Math.abs) }]),
  );
  return {
    unet,
    schedule: { kind: "cosine", T: 1000 },
    step: STEP,
    seed: 0,
    train: { lr: LR, batch: 4, warmup: 4, ema: EMA, "clip-norm": 1 },
    prediction: "v",
    ema,
    training: { model, m, v },
  };
}

/** The checkpoint after so many steps in PyTorch. */
async function continued(
  python: string,
  folder: string,
  steps: number,
  options: readonly string[],
): Promise<Checkpoint> {
  const { code, stderr } = await new Deno.Command(python, {
    args: [SCRIPT, folder, `--images=${folder}/images.npz`, `--steps=${steps}`, ...options],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return (await readDiffusersFolder(folder)).checkpoint;
}

/** What is wrong with a run that went to PyTorch and back, a sentence each. */
export async function checkContinuing(python: string): Promise<string[]> {
  const folder = await Deno.makeTempDir();
  try {
    const before = halfTrained();
    await writeDiffusersFolder(folder, before);
    const pixels = Uint8Array.from({ length: 6 * 64 }, (_, i) => (i * 37) % 256);
    const labels = BigInt64Array.from([0n, 1n, 2n, 3n, 0n, 1n]);
    await Deno.writeFile(
      `${folder}/images.npz`,
      encodeNpz([
        { name: "arr_0", array: { shape: [6, 8, 8, 1], data: pixels } },
        { name: "arr_1", array: { shape: [6], data: labels } },
      ]),
    );
    const same = encodeCheckpoint(await continued(python, folder, 0, []));
    const bytes = encodeCheckpoint(before);
    const faults = same.length === bytes.length && same.every((byte, i) => byte === bytes[i])
      ? []
      : ["without a step in PyTorch the checkpoint is not as it was"];
    return [...faults, ...stepFaults(before, await continued(python, folder, 1, []))];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What does not hang together after one step, by the formulas of Adam and of the average. */
function stepFaults(before: Checkpoint, after: Checkpoint): string[] {
  if (after.step !== STEP + 1) return [`the step is ${after.step}`];
  const faults = new Set<string>();
  const check = (what: string, found: number, expected: number, bound: number) => {
    if (!(Math.abs(found - expected) <= bound)) faults.add(`${what} is ${found}, not ${expected}`);
  };
  const [old, now] = [before.training!, after.training!];
  let moved = false;
  for (const [name, { data }] of now.model) {
    data.forEach((theta, i) => {
      const of = (set: ReadonlyMap<string, { data: ArrayLike<number> }>) => set.get(name)!.data[i];
      const [m0, v0, m, v] = [of(old.m), of(old.v), of(now.m), of(now.v)];
      // m is rounded three times on its way from g, each time by u·max(|m0|, |g|, |m|), and g is ten times that off.
      const g = 10 * (m - 0.9 * m0), gOff = 40 * U32 * (Math.abs(m0) + Math.abs(g));
      const vOff = 0.001 * (2 * Math.abs(g) + gOff) * gOff + 4 * U32 * v;
      check(`${name}: v`, v, 0.999 * v0 + 0.001 * g * g, vOff);
      // √, two quotients, a sum, a product and the learning rate itself; then the difference.
      const ratio = (m / (1 - 0.9 ** (STEP + 1))) /
        (Math.sqrt(v / (1 - 0.999 ** (STEP + 1))) + 1e-8);
      const thetaOff = 8 * U32 * LR * Math.abs(ratio) + U32 * Math.abs(theta);
      check(`${name}: θ`, theta, of(old.model) - LR * ratio, thetaOff);
      const decay = Math.min(EMA, (1 + STEP + 1) / (10 + STEP + 1));
      const ema0 = of(before.ema), emaOff = 4 * U32 * (Math.abs(ema0) + Math.abs(theta));
      check(`${name}: the average`, of(after.ema), decay * ema0 + (1 - decay) * theta, emaOff);
      moved ||= Math.abs(g) > gOff;
    });
  }
  if (!moved) faults.add("no gradient was other than zero");
  return [...faults].slice(0, 5);
}

if (import.meta.main) {
  const [python = "python3"] = Deno.args;
  const faults = await checkContinuing(python);
  const text = faults.length === 0
    ? "agrees: a run that goes on in PyTorch and comes back"
    : `DIFFERS: a run that goes on in PyTorch: ${faults.join("; ")}`;
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  if (faults.length > 0) Deno.exit(1);
}
