/**
 * Line charts as SVG text. Colours come from the page's style sheet: `line0`, `line1`, … for curves.
 *
 * @module
 */
import type { Point } from "./history.ts";

/** A curve of a chart. */
export interface Curve {
  /** For the legend; a curve without a name is a faint one behind the others. */
  readonly name: string | null;
  /** Number of its colour. */
  readonly colour: number;
  readonly points: readonly Point[];
}

/** A chart. */
export interface Chart {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** How y grows. */
  readonly scale: "linear" | "log";
}

const WIDTH = 640, HEIGHT = 280;
const LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 28;

/** From a value to a place, and the values worth a line. */
interface Axis {
  readonly place: (value: number) => number;
  readonly ticks: readonly number[];
}

/** A chart as SVG. */
export function chartSvg({ title, curves, scale }: Chart): string {
  const drawn = curves.map((curve) => ({
    ...curve,
    points: curve.points.filter(([, y]) => Number.isFinite(y) && (scale === "linear" || y > 0)),
  }));
  const all = drawn.flatMap(({ points }) => points);
  const body = all.length === 0
    ? `<text class="empty" x="${WIDTH / 2}" y="${HEIGHT / 2}">nothing measured yet</text>`
    : plot(drawn, all, scale);
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${
    escaped(title)
  }">${body}</svg>`;
}

function plot(curves: readonly Curve[], all: readonly Point[], scale: Chart["scale"]): string {
  const [x0, x1] = extent(all.map(([x]) => x)), [y0, y1] = extent(all.map(([, y]) => y));
  const x = linearAxis(x0, x1, LEFT, WIDTH - RIGHT, 6);
  const y = scale === "log"
    ? logAxis(y0, y1, HEIGHT - BOTTOM, TOP)
    : linearAxis(Math.min(0, y0), y1, HEIGHT - BOTTOM, TOP, 5);
  const lines = y.ticks.map((tick) => {
    const at = y.place(tick).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>` +
      `<text class="tick-y" x="${LEFT - 8}" y="${at}">${numberText(tick)}</text>`;
  });
  const labels = x.ticks.map((tick) =>
    `<text class="tick-x" x="${x.place(tick).toFixed(1)}" y="${HEIGHT - 8}">${
      numberText(tick)
    }</text>`
  );
  const paths = curves.map(({ points, colour, name }) => {
    const steps = points.map(([px, py], i) =>
      `${i === 0 ? "M" : "L"}${x.place(px).toFixed(1)} ${y.place(py).toFixed(1)}`
    );
    return `<path class="line${colour}${name === null ? " faint" : ""}" d="${steps.join("")}"/>`;
  });
  return [...lines, ...labels, ...paths].join("");
}

function extent(values: readonly number[]): [number, number] {
  return values.reduce<[number, number]>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
}

/** A place for every value of low..high, between two edges; one value alone is in the middle. */
function between(low: number, high: number, from: number, to: number): (value: number) => number {
  if (high === low) return () => (from + to) / 2;
  return (value) => from + (value - low) / (high - low) * (to - from);
}

function linearAxis(low: number, high: number, from: number, to: number, count: number): Axis {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
  const first = Math.ceil(low / step), last = Math.floor(high / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { place: between(low, high, from, to), ticks };
}

/** Lines at powers of ten, or at 1, 2 and 5 times them where there would be few. */
function logAxis(low: number, high: number, from: number, to: number): Axis {
  const place = between(Math.log10(low), Math.log10(high), from, to);
  const ticksOf = (mantissas: readonly number[]) => {
    const ticks: number[] = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      ticks.push(...mantissas.map((m) => m * 10 ** e).filter((v) => v >= low && v <= high));
    }
    return ticks;
  };
  const choices = [[1], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]].map(ticksOf);
  const ticks = choices.find(({ length }) => length >= 3) ??
    linearAxis(low, high, from, to, 4).ticks;
  return { place: (value) => place(Math.log10(value)), ticks };
}

function numberText(value: number): string {
  const short = Number(value.toPrecision(3));
  if (short === 0) return "0";
  const size = Math.abs(short);
  if (size >= 1e6) return `${short / 1e6}M`;
  if (size >= 1e4) return `${short / 1e3}k`;
  return size < 1e-3 ? short.toExponential() : String(short);
}

/** A text as it is written in HTML and SVG. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
