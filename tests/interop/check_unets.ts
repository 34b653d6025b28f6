/**
 * Models of this package as diffusers loads and runs them: `deno run --allow-read --allow-write --allow-run
 * tests/interop/check_unets.ts PYTHON`, with the python3 of an environment that has torch and diffusers.
 *
 * Every model goes through a folder as `convert` writes it, into `DDPMPipeline.from_pretrained` and
 * `UNet2DModel.from_pretrained`, and is run twice. In float64, times from 0 to T − 1, it shows that both sides
 * mean the same by every name and field: the bound is that of the float32 run, scaled to float64's unit. As
 * from_pretrained gives it, in float32, it shows that what users get is as close as float32 allows. There the
 * times are 0 and 1, whose embedding is no worse in float32 than other roundings: at time 999 diffusers' own
 * angles are up to 1e−4 off, which says nothing about the conversion. The folder, and what `save_pretrained`
 * makes of it, must give the checkpoint back byte by byte.
 *
 * @module
 */
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { INTEROP_CASES, type InteropCase } from "./cases.ts";
import { type Answer, ask, DOUBLE, folderFaults, weightsOf, worstError } from "./diffusers_side.ts";
import { expectedOutput } from "./expected_output.ts";

/** Runs from which σ is estimated. */
const RUNS = 8;

/** How one model fared. */
export interface UnetVerdict {
  readonly title: string;
  /** What is wrong, a sentence each; none if all is well. */
  readonly faults: readonly string[];
  /** The largest errors in units of their bounds, in float64 and in float32. */
  readonly worst: { readonly double: number; readonly single: number };
}

/** Checks every case against diffusers. */
export async function checkUnets(python: string): Promise<UnetVerdict[]> {
  const folder = await Deno.makeTempDir();
  try {
    const runs = INTEROP_CASES.map((one, number) => {
      const { checkpoint: { schedule }, x, labels } = one;
      const T = schedule.kind === "betas" ? schedule.betas.length : schedule.T;
      const request = { folder: `${folder}/${number}`, x: { ...x, data: [...x.data] }, labels };
      return {
        one,
        folder: request.folder,
        saved: `${request.folder}-saved`,
        single: {
          ...request,
          timesteps: [0, 1],
          double: false,
          save: `${request.folder}-saved`,
        },
        double: { ...request, timesteps: [0, T - 1], double: true },
      };
    });
    for (const { one, folder } of runs) {
      await writeDiffusersFolder(folder, one.checkpoint, one.options);
    }
    const answers = await ask(python, runs.flatMap(({ single, double }) => [single, double]));
    return await Promise.all(runs.map(async ({ one, folder, saved, single, double }, number) => {
      const faults: string[] = [];
      const [inSingle, inDouble] = answers.slice(2 * number);
      for (const { error } of [inSingle, inDouble]) if (error !== undefined) faults.push(error);
      if (faults.length > 0) {
        return { title: one.title, faults, worst: { single: NaN, double: NaN } };
      }
      const worst = {
        single: excess(one, single.timesteps, inSingle, 1),
        double: excess(one, double.timesteps, inDouble, DOUBLE),
      };
      for (const [precision, ratio] of Object.entries(worst)) {
        if (!(ratio <= 1)) faults.push(`the output in ${precision} is ${ratio} bounds off`);
      }
      faults.push(...await folderFaults(one, inSingle, folder, saved));
      return { title: one.title, faults, worst };
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The largest error of an answer's output in units of its bound λ·σ. */
function excess(
  one: InteropCase,
  timesteps: readonly number[],
  { output }: Answer,
  unit: number,
): number {
  const { checkpoint: { unet: config }, x, labels } = one;
  const options = { classLabels: labels };
  const net = { config, parameters: weightsOf(one), x, timesteps, options };
  const { exact, sigma } = expectedOutput(net, { runs: RUNS });
  return worstError(output.data, exact.data, sigma, unit);
}

if (import.meta.main) {
  const [python = "python3"] = Deno.args;
  const verdicts = await checkUnets(python);
  const lines = verdicts.map(({ title, faults, worst }) =>
    faults.length === 0
      ? `agrees: ${title} (error ${worst.double.toFixed(3)} of its bound in float64, ` +
        `${worst.single.toFixed(3)} in float32)`
      : `DIFFERS: ${title}: ${faults.join("; ")}`
  );
  Deno.stdout.writeSync(new TextEncoder().encode(`${lines.join("\n")}\n`));
  if (verdicts.some(({ faults }) => faults.length > 0)) Deno.exit(1);
}
