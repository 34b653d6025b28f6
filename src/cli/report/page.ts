/**
 * The report of a run as one HTML page that needs nothing else: no script, no other file, no network.
 *
 * @module
 */
import { type Chart, chartSvg, escaped } from "./chart.ts";

/** A picture of the page. */
export interface PagePicture {
  readonly caption: string;
  /** Bytes of a PNG. */
  readonly png: Uint8Array;
}

/** What a page shows. */
export interface Page {
  readonly title: string;
  /** Where the run stands, in a sentence. */
  readonly status: string;
  /** The command line. */
  readonly command: string;
  readonly charts: readonly Chart[];
  readonly pictures: readonly PagePicture[];
  /** Tables of names and values. */
  readonly tables: readonly {
    readonly title: string;
    readonly rows: readonly (readonly [name: string, value: string])[];
  }[];
}

const STYLE = `
:root { color-scheme: light dark; --back: #fbfbfa; --text: #1c1c1a; --faint: #6f6f6a; --rule: #dddcd6;
  --line0: #1f6fc4; --line1: #d9730d; --line2: #1a8f5a; --line3: #9146b8; }
@media (prefers-color-scheme: dark) { :root { --back: #161719; --text: #ececea; --faint: #9a9a94;
  --rule: #34363a; --line0: #6fb1f5; --line1: #f2a15c; --line2: #5fcf98; --line3: #cf9aee; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 88rem; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
p { margin: .25rem 0; color: var(--faint); } code, td { font-family: ui-monospace, monospace; font-size: 13px; }
code { overflow-wrap: anywhere; }
.charts, .tables { display: grid; gap: 2rem; margin-top: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem; }
section.samples { margin-top: 2.5rem; }
figure { margin: 0; } figcaption { color: var(--faint); font-size: 13px; }
img { display: block; max-width: 100%; image-rendering: pixelated; border-radius: 3px; }
svg { display: block; width: 100%; height: auto; }
svg path { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg path.faint { stroke-width: 1; opacity: .35; }
${
  [0, 1, 2, 3].map((n) =>
    `.line${n} { stroke: var(--line${n}); } .key${n} { color: var(--line${n}); }`
  ).join("\n")
}
svg text { fill: var(--faint); font-size: 12px; } .grid { stroke: var(--rule); }
.tick-y { text-anchor: end; dominant-baseline: middle; } .tick-x, .empty { text-anchor: middle; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: 13px; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
td { border-top: 1px solid var(--rule); padding: .2rem .5rem .2rem 0; overflow-wrap: anywhere; vertical-align: top; }
td:first-child { color: var(--faint); width: 42%; }
`;

/** A page as HTML. */
export function pageHtml({ title, status, command, charts, pictures, tables }: Page): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
<h1>${escaped(title)}</h1>
<p>${escaped(status)}</p>
<p><code>${escaped(command)}</code></p>
<div class="charts">
${charts.map(chartHtml).join("\n")}
</div>
${pictures.length === 0 ? "" : samplesHtml(pictures)}
<div class="tables">
${tables.map(tableHtml).join("\n")}
</div>
</html>
`;
}

function chartHtml(chart: Chart): string {
  const keys = chart.curves.filter(({ name }) => name !== null).map(({ name, colour }) =>
    `<span><span class="key${colour}">━</span> ${escaped(name ?? "")}</span>`
  );
  const legend = keys.length > 1 ? `<div class="legend">${keys.join("")}</div>` : "";
  return `<section><h2>${escaped(chart.title)}</h2>${chartSvg(chart)}${legend}</section>`;
}

function samplesHtml(pictures: readonly PagePicture[]): string {
  const figures = pictures.map(({ caption, png }) =>
    `<figure><img alt="${escaped(caption)}" src="data:image/png;base64,${png.toBase64()}">` +
    `<figcaption>${escaped(caption)}</figcaption></figure>`
  );
  return `<section class="samples"><h2>Samples</h2>
<div class="pictures">
${figures.join("\n")}
</div></section>`;
}

function tableHtml({ title, rows }: Page["tables"][number]): string {
  const cells = rows.map(([name, value]) =>
    `<tr><td>${escaped(name)}</td><td>${escaped(value)}</td></tr>`
  );
  return `<section><h2>${escaped(title)}</h2><table>${cells.join("")}</table></section>`;
}
