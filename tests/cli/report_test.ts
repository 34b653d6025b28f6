/**
 * The report of a run: what it holds, and what a browser shows of it. Without Chromium the second part fails
 * where DDPM_REQUIRE_BROWSER is 1, as in CI, and is otherwise reported as ignored.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
  assertStringIncludes,
} from "@std/assert";
import { decode } from "fast-png";
import type { StepMetric } from "../../src/cli/metrics.ts";
import { chartSvg } from "../../src/cli/report/chart.ts";
import { History, type Point, smoothed } from "../../src/cli/report/history.ts";
import { pageHtml } from "../../src/cli/report/page.ts";
import { findBrowser } from "../../src/cli/setup.ts";
import { encodePng } from "../../src/data/png.ts";
import { print } from "../support/print.ts";

function stepMetric(step: number, loss: number): StepMetric {
  const lossByQuartile = [loss, null, step % 2 === 0 ? loss / 2 : null, 1];
  return {
    kind: "train",
    step,
    loss,
    lossByQuartile,
    gradNorm: 2,
    lr: 1e-3,
    imagesPerSecond: null,
  };
}

Deno.test("a history is exact while it is short and means of equal runs of steps when it is long", () => {
  const history = new History();
  for (let step = 5; step <= 1004; step++) history.add(stepMetric(step, step));
  const exact = history.curve("loss");
  assertEquals([exact.length, exact[0], exact[999]], [1000, [5, 5], [1004, 1004]]);
  assertEquals(history.curve("quartile2").length, 500);
  assertEquals(history.curve("imagesPerSecond"), []);
  assertEquals(history.curve("quartile1"), []);

  for (let step = 1005; step <= 100_000; step++) history.add(stepMetric(step, step));
  const curve = history.curve("loss");
  assert(curve.length > 250 && curve.length <= 1000, `${curve.length} points`);
  // The mean over consecutive steps of a loss that is the step is the middle of them.
  for (const [x, y] of curve) assertAlmostEquals(y, x, 1e-9);
  const width = curve[1][0] - curve[0][0];
  curve.slice(1, -1).forEach(([x], i) => assertEquals(x - curve[i][0], width));
  // Every second step has the half of its loss here.
  for (const [x, y] of history.curve("quartile2")) assertLess(Math.abs(y - x / 2), width);
});

Deno.test("a smoothed curve is a mean: a constant stays, a jump is followed, noise is damped", () => {
  const points = (values: readonly number[]) => values.map((y, i): Point => [i + 1, y]);
  const flat = smoothed(points(new Array(100).fill(3)));
  for (const [, y] of flat) assertAlmostEquals(y, 3, 1e-12);
  const jump = smoothed(points([...new Array(300).fill(0), ...new Array(300).fill(1)]));
  // Weights fall by 1 − 1/20 a point, so that after 200 points 0.95^200 = 3.5e-5 is left of what was before.
  assertEquals(jump[299][1], 0);
  assertLess(0.9999, jump[499][1]);
  const noise = smoothed(points(Array.from({ length: 600 }, (_, i) => i % 2)));
  assertLess(Math.abs(noise[599][1] - 0.5), 0.03);
});

/** The points of the paths of a chart. */
function pathsOf(svg: string): Point[][] {
  return [...svg.matchAll(/ d="([^"]*)"/g)].map(([, d]) =>
    [...d.matchAll(/[ML](\S+) ([\d.-]+)/g)].map(([, x, y]): Point => [Number(x), Number(y)])
  );
}

Deno.test("a chart's curves go through their values, upwards for more, evenly by factors if logarithmic", () => {
  const points: Point[] = [[1, 1], [2, 10], [3, 100]];
  const curves = [{ name: "a", colour: 0, points }];
  const [[p, q, r]] = pathsOf(chartSvg({ title: "t", scale: "log", curves }));
  assertLess(p[0], q[0]);
  assertLess(q[1], p[1]);
  // Places are written with one decimal.
  assertAlmostEquals(p[1] - q[1], q[1] - r[1], 0.21);
  assertAlmostEquals(q[0] - p[0], r[0] - q[0], 0.21);
  const [[a, b, c]] = pathsOf(chartSvg({ title: "t", scale: "linear", curves }));
  assertAlmostEquals((a[1] - b[1]) * 10, b[1] - c[1], 1.2);
  const odds: Point[][] = [
    ...[[], [[1, NaN] as const], [[1, -1] as const], [[7, 0.3] as const]],
    ...[[[1, 5] as const, [2, 5] as const], [[1, 1e-9] as const, [2, 1e9] as const]],
  ];
  for (const odd of odds) {
    for (const scale of ["log", "linear"] as const) {
      const svg = chartSvg({
        title: "t",
        scale,
        curves: [{ ...curves[0], points: odd }],
      });
      assert(!/NaN|Infinity|undefined/.test(svg), `${scale} ${JSON.stringify(odd)}: ${svg}`);
    }
  }
  assertStringIncludes(chartSvg({ title: "t", scale: "log", curves: [] }), "nothing measured yet");
});

const chromium = await findBrowser();
const required = Deno.env.get("DDPM_REQUIRE_BROWSER") === "1";

/** A grid of one colour, which nothing else on the page has. */
const PINK = [250, 20, 200] as const;
const PICTURE = encodePng({
  ...{ width: 120, height: 90, channels: 3 },
  data: Uint8Array.from({ length: 3 * 120 * 90 }, (_, i) => PINK[i % 3]),
});

/** A screenshot of a page in a browser's light or dark mode. */
async function screenshot(html: string, scheme: "light" | "dark") {
  const folder = await Deno.makeTempDir();
  const file = `${Deno.env.get("TMPDIR") ?? "/tmp"}/ddpm-report-${scheme}.png`;
  await Deno.writeTextFile(`${folder}/report.html`, html);
  const { code, stderr } = await new Deno.Command(chromium, {
    args: [
      ...["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
      ...["--hide-scrollbars", "--window-size=1280,1700", `--user-data-dir=${folder}/profile`],
      ...[`--blink-settings=preferredColorScheme=${scheme === "dark" ? 0 : 1}`],
      ...[`--screenshot=${file}`, `file://${folder}/report.html`],
    ],
    env: { TMPDIR: folder },
    stdout: "null",
    stderr: "piped",
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  await Deno.remove(folder, { recursive: true });
  print(`the report in ${scheme} mode: ${file}`);
  return decode(await Deno.readFile(file));
}

/** Pixels of a colour. */
function count({ data, channels }: ReturnType<typeof decode>, colour: readonly number[]): number {
  let found = 0;
  for (let i = 0; i < data.length; i += channels) {
    if (colour.every((value, c) => data[i + c] === value)) found++;
  }
  return found;
}

Deno.test({
  name: "a browser shows the report's curves and pictures, dark on light and light on dark",
  ignore: chromium === "" && !required,
  fn: async () => {
    if (chromium === "") {
      throw new Error("Expected Chromium but found none: DDPM_REQUIRE_BROWSER=1 deno task setup");
    }
    const falling = (scale: number) =>
      Array.from({ length: 300 }, (_, i): Point => [i + 1, scale * (0.02 + Math.exp(-i / 40))]);
    const html = pageHtml({
      ...{ title: "runs/<a>", status: "115 parameters", command: 'train --out "runs/<a>"' },
      charts: [
        { title: "Loss", scale: "log", curves: [{ name: "a", colour: 0, points: falling(1) }] },
        {
          title: "Quarters",
          scale: "log",
          curves: [1, 2, 3].map((colour) => ({
            name: `curve ${colour}`,
            colour,
            points: falling(colour + 1),
          })),
        },
      ],
      pictures: [{ caption: "step 1", png: PICTURE }, { caption: "step 2", png: PICTURE }],
      tables: [{ title: "Training", rows: [["lr", "0.003"]] }],
    });
    // Nothing is fetched and nothing is run.
    assert(!/<script|https?:|src="(?!data:)|<link/.test(html));
    const colours = {
      light: ["#fbfbfa", "#1f6fc4", "#d9730d", "#1a8f5a", "#9146b8"],
      dark: ["#161719", "#6fb1f5", "#f2a15c", "#5fcf98", "#cf9aee"],
    } as const;
    for (const scheme of ["light", "dark"] as const) {
      const shot = await screenshot(html, scheme);
      const [back, ...lines] = colours[scheme].map((hex) =>
        [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))
      );
      assertEquals([...shot.data.subarray(0, 3)], back, `the background in ${scheme} mode`);
      // A curve of 500 pixels and more, 1.8 wide: its inner pixels have its very colour.
      lines.forEach((line, n) =>
        assertLess(150, count(shot, line), `curve ${n} in ${scheme} mode`)
      );
      // All of both pictures but the pixels that round corners of 3 touch.
      assertAlmostEquals(count(shot, PINK), 2 * 120 * 90, 2 * 4 * 9);
    }
  },
});
