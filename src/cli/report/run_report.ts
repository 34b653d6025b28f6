/**
 * `report.html` of a training run: what its curves, pictures and settings are so far.
 *
 * @module
 */
import { writeAtomic } from "../../data/write_atomic.ts";
import type { Checkpoint } from "../../spec/checkpoint.ts";
import { unetConfigToDiffusers } from "../../spec/unet_config.ts";
import { unetParameterCount } from "../../spec/unet_parameters.ts";
import { type HeldOutMetric, QUARTILES, type StepMetric } from "../metrics.ts";
import { namesIn, progressFolder, runFile } from "../run_folder.ts";
import type { Chart } from "./chart.ts";
import { History, smoothed } from "./history.ts";
import { type Page, pageHtml, type PagePicture } from "./page.ts";

/** Pictures of a page, at most: evenly spread over the run, the newest among them. */
const MOST_PICTURES = 12;

/** A report that grows with its run. */
export class RunReport {
  readonly #folder: string;
  readonly #command: readonly string[];
  readonly #history = new History();
  #heldOut: HeldOutMetric | null = null;

  /** @param command words of the command line. */
  constructor(folder: string, command: readonly string[]) {
    this.#folder = folder;
    this.#command = command;
  }

  /** Takes a step in; steps come in order. */
  add(metric: StepMetric): void {
    this.#history.add(metric);
  }

  /** Takes the judgement at the end in. */
  judged(heldOut: HeldOutMetric): void {
    this.#heldOut = heldOut;
  }

  /**
   * Writes the page in place of the one before.
   *
   * @param goal steps of the run in all; null if they are not known.
   * @param last the file of the picture drawn at the run's end.
   */
  async write(checkpoint: Checkpoint, goal: number | null, last?: string): Promise<void> {
    const { step } = checkpoint;
    const html = pageHtml({
      title: this.#folder,
      status: `${unetParameterCount(checkpoint.unet).toLocaleString("en")} parameters after step ` +
        `${step.toLocaleString("en")}${goal === null ? "" : ` of ${goal.toLocaleString("en")}`}`,
      command: this.#command.join(" "),
      charts: chartsOf(this.#history),
      pictures: await this.#pictures(step, last),
      tables: [...heldOutTable(this.#heldOut), ...settings(checkpoint)],
    });
    await writeAtomic(runFile(this.#folder, "report"), html);
  }

  async #pictures(step: number, last?: string): Promise<PagePicture[]> {
    const folder = progressFolder(this.#folder);
    const drawn = (await namesIn(folder)).flatMap((name) => {
      const at = Number(/^step-(\d+)\.png$/.exec(name)?.[1] ?? NaN);
      return at <= step ? [{ caption: `step ${at}`, file: `${folder}/${name}` }] : [];
    });
    const shown = spread(drawn, MOST_PICTURES);
    if (last !== undefined) shown.push({ caption: `the end, step ${step}`, file: last });
    return await Promise.all(shown.map(async ({ caption, file }) => ({
      caption,
      png: await Deno.readFile(file),
    })));
  }
}

/** At most `count` of some items, evenly spread, the last one among them. */
function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from(
    { length: count },
    (_, i) => items[Math.round((i + 1) * items.length / count) - 1],
  );
}

function chartsOf(history: History): Chart[] {
  const loss = history.curve("loss");
  const one = (title: string, name: "gradNorm" | "imagesPerSecond"): Chart => {
    const points = history.curve(name);
    return {
      title,
      scale: name === "gradNorm" ? "log" : "linear",
      curves: [
        { name: null, colour: 0, points },
        { name: "smoothed", colour: 0, points: smoothed(points) },
      ],
    };
  };
  return [
    {
      title: "Loss",
      scale: "log",
      curves: [
        { name: "each step", colour: 0, points: loss },
        { name: "smoothed", colour: 1, points: smoothed(loss) },
      ],
    },
    {
      title: "Loss by quarter of t, smoothed",
      scale: "log",
      curves: Array.from({ length: QUARTILES }, (_, q) => ({
        name: `${["first", "second", "third", "last"][q]}`,
        colour: q,
        points: smoothed(history.curve(`quartile${q}`)),
      })),
    },
    {
      title: "Learning rate",
      scale: "linear",
      curves: [{ name: "rate", colour: 0, points: history.curve("lr") }],
    },
    one("Gradient norm", "gradNorm"),
    one("Images per second", "imagesPerSecond"),
  ];
}

type Tables = Page["tables"];

function heldOutTable(heldOut: HeldOutMetric | null): Tables {
  if (heldOut === null) return [];
  const { step, images, ema, raw } = heldOut;
  const rows = [
    ["averaged weights", ema.toFixed(4)],
    ["raw weights", raw.toFixed(4)],
  ] as const;
  return [{ title: `L_simple of ${images} test images after step ${step}`, rows }];
}

function settings({ unet, schedule, seed, train, prediction = "epsilon" }: Checkpoint): Tables {
  const rowsOf = (values: object) =>
    Object.entries(values).filter(([, value]) => value !== null)
      .map(([name, value]) =>
        [name, typeof value === "string" ? value : JSON.stringify(value)] as const
      );
  return [
    { title: "Training", rows: rowsOf({ seed, prediction, ...train }) },
    { title: "Process", rows: rowsOf(schedule) },
    { title: "Network", rows: rowsOf(unetConfigToDiffusers(unet)) },
  ];
}
