/**
 * A dataset and a network small enough to train within seconds, and commands run as a user runs them.
 *
 * @module
 */
import { type UNetConfig, unetConfig, unetConfigToDiffusers } from "../../src/spec/unet_config.ts";

/** An IDX file of unsigned bytes. */
export function idxFile(shape: readonly number[], data: ArrayLike<number>): Uint8Array {
  const file = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x0800 + shape.length);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  file.set(data, 4 + 4 * shape.length);
  return file;
}

/** A network for 8×8 images with every kind of layer, dropout included. */
export const MICRO: UNetConfig = unetConfig({
  sampleSize: 8,
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [4, 4],
  layersPerBlock: 1,
  normNumGroups: 2,
  attentionHeadDim: null,
  dropout: 0.2,
});

/** A temporary folder with `data/` (the four IDX files) and `unet.json`; removed after `test`. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/data`);
    for (const [split, count] of [["train", 20], ["t10k", 8]] as const) {
      const pixels = Uint8Array.from({ length: count * 64 }, (_, i) => (i * 37) % 256);
      const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
      const path = `${folder}/data/${split}`;
      await Deno.writeFile(`${path}-images-idx3-ubyte`, idxFile([count, 8, 8], pixels));
      await Deno.writeFile(`${path}-labels-idx1-ubyte`, idxFile([count], labels));
    }
    await Deno.writeTextFile(`${folder}/unet.json`, JSON.stringify(unetConfigToDiffusers(MICRO)));
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a command said, and its exit code. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

type Env = Readonly<Record<string, string>>;

function command(folder: string, args: readonly string[], env: Env = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", `--config=${CONFIG}`, "--allow-read"],
      ...[`--allow-write=${folder}`, MAIN, ...args],
    ],
    cwd: folder,
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  });
}

/** Starts a command in `folder` with the permissions that its task has, and write access to `folder`. */
export function startCli(folder: string, ...args: string[]): Deno.ChildProcess {
  return command(folder, args).spawn();
}

/** Runs a command as {@linkcode startCli} does, to its end. */
export function cli(folder: string, ...args: string[]): Promise<Outcome> {
  return cliWith({}, folder, ...args);
}

/** The same with some variables in its environment. */
export async function cliWith(env: Env, folder: string, ...args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await command(folder, args, env).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The flags that train the micro network on the folder's data, and judge and draw nothing. */
export const MICRO_TRAINING = [
  ...["train", "--data", "data", "--config", "unet.json", "--batch", "3", "--warmup", "2"],
  ...["--eval", "0", "--samples", "0"],
];

/** The same with the reference, also where there is an adapter. */
export const MICRO_FLAGS = [...MICRO_TRAINING, "--device", "cpu"];
