/** Draws bench/growth.svg from bench/growth.json. Usage: node bench/growth-picture.ts [JSON SVG] */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Growth, type GrowthPoint, readGrowth } from './support/growth-points.ts';

const PICTURE = join(import.meta.dirname, 'growth.svg');

const WIDTH = 920;
const HEIGHT = 380;
/** Top of the plot area of a panel, in pixels. */
const TOP = 76;
const FIELD = { width: 360, height: 228 };
const LEFTS = [66, 526];
const LABEL_HEIGHT = 24;

interface Series {
  readonly name: string;
  readonly color: 'one' | 'two';
  readonly valueOf: (point: GrowthPoint) => number;
}

interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

function panelsOf({ days }: Growth): readonly Panel[] {
  return [
    {
      title: 'Intake as NDJSON, all records',
      series: [{ name: 'intake', color: 'one', valueOf: (point) => point.intakeSeconds }],
    },
    {
      title: `Export of ${days} days`,
      series: [
        { name: 'daily totals', color: 'one', valueOf: (point) => point.dailySeconds },
        { name: 'by a dimension', color: 'two', valueOf: (point) => point.groupedSeconds },
      ],
    },
  ];
}

/** Returns 1, 2 or 5 times a power of ten, so that three to six steps reach the greatest value. */
function stepFor(greatest: number): number {
  const power = 10 ** Math.floor(Math.log10(greatest / 3));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => greatest / step <= 6) ?? power * 10;
}

function ticksFor(greatest: number): number[] {
  const step = stepFor(greatest);
  return Array.from({ length: Math.ceil(greatest / step - 1e-9) + 1 }, (_, index) =>
    Number((index * step).toPrecision(6)),
  );
}

function words(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

/** Formats seconds with two significant digits, or three from 100 s. */
function secondsInWords(value: number): string {
  return `${words(Number(value.toPrecision(value < 100 ? 2 : 3)))} s`;
}

function panelSvg(panel: Panel, points: readonly GrowthPoint[], left: number): string {
  const xs = ticksFor(Math.max(...points.map(({ records }) => records)) / 1e6);
  const ys = ticksFor(Math.max(...points.flatMap((point) => panel.series.map(({ valueOf }) => valueOf(point)))));
  const x = (records: number): number => left + (records / 1e6 / (xs.at(-1) ?? 1)) * FIELD.width;
  const y = (value: number): number => TOP + FIELD.height - (value / (ys.at(-1) ?? 1)) * FIELD.height;
  const at = (value: number): string => value.toFixed(1);
  const bottom = TOP + FIELD.height;
  const lines = [
    `<text class="title" x="${left}" y="${TOP - 38}">${panel.title}</text>`,
    ...ys.map(
      (value) =>
        `<line class="grid" x1="${left}" x2="${left + FIELD.width}" y1="${at(y(value))}" y2="${at(y(value))}"/><text class="tick" x="${left - 8}" y="${at(y(value) + 4)}" text-anchor="end">${words(value)}</text>`,
    ),
    ...xs.map(
      (value) =>
        `<text class="tick" x="${at(x(value * 1e6))}" y="${bottom + 18}" text-anchor="middle">${words(value)}</text>`,
    ),
    `<line class="axis" x1="${left}" x2="${left + FIELD.width}" y1="${bottom}" y2="${bottom}"/>`,
    `<text class="label" x="${left + FIELD.width / 2}" y="${bottom + 40}" text-anchor="middle">records in the stream, millions</text>`,
    `<text class="label" x="${left - 48}" y="${TOP + FIELD.height / 2}" text-anchor="middle" transform="rotate(-90 ${left - 48} ${TOP + FIELD.height / 2})">seconds</text>`,
  ];
  for (const [place, { name, color, valueOf }] of panel.series.entries()) {
    const path = points.map(
      (point, index) => `${index === 0 ? 'M' : 'L'}${at(x(point.records))} ${at(y(valueOf(point)))}`,
    );
    lines.push(
      `<line class="${color}" x1="${left + place * 150}" x2="${left + place * 150 + 22}" y1="${TOP - 20}" y2="${TOP - 20}"/><text class="label" x="${left + place * 150 + 28}" y="${TOP - 16}">${name}</text>`,
      `<path class="${color}" d="${path.join(' ')}"/>`,
      ...points.map(
        (point) =>
          `<circle class="dot-${color}" cx="${at(x(point.records))}" cy="${at(y(valueOf(point)))}" r="3.5"><title>${words(point.records)} records: ${secondsInWords(valueOf(point))}</title></circle>`,
      ),
    );
    const last = points.at(-1);
    if (!last) continue;
    const height = y(valueOf(last));
    const isBelow = panel.series.some((other) => {
      const above = height - y(other.valueOf(last));
      return above > 0 && above < LABEL_HEIGHT;
    });
    lines.push(
      `<text class="label" x="${at(x(last.records) - 6)}" y="${at(height + (isBelow ? 19 : -9))}" text-anchor="end">${secondsInWords(valueOf(last))}</text>`,
    );
  }
  return lines.join('\n');
}

const STYLE = `
svg { --ink: #1f2328; --dim: #59636e; --grid: #d8dee4; --paper: #ffffff; --one: #0969da; --two: #bc4c00; }
@media (prefers-color-scheme: dark) { svg { --ink: #f0f6fc; --dim: #9198a1; --grid: #3d444d; --paper: #0d1117; --one: #58a6ff; --two: #f0883e; } }
text { font-family: system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; } .label { font-size: 12px; } .tick { font-size: 12px; fill: var(--dim); }
.paper { fill: var(--paper); } .grid { stroke: var(--grid); } .axis { stroke: var(--dim); }
.one, .two { fill: none; stroke-width: 2; } .one { stroke: var(--one); } .two { stroke: var(--two); stroke-dasharray: 6 4; }
.dot-one { fill: var(--one); } .dot-two { fill: var(--two); }`;

function pictureOf(growth: Growth): string {
  const { machine, points } = growth;
  const panels = panelsOf(growth).map((panel, index) => panelSvg(panel, points, LEFTS[index] ?? 0));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Time of intake and of the daily export against the number of records">
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
${panels.join('\n')}
<text class="tick" x="${LEFTS[0]}" y="${HEIGHT - 12}">${machine.cores} cores and ${machine.memoryGib} GiB for server, PostgreSQL and sender together</text>
</svg>
`;
}

export function drawGrowth(growth: Growth, file = PICTURE): Promise<void> {
  return writeFile(file, pictureOf(growth));
}

if (import.meta.main) {
  const [json, svg] = process.argv.slice(2);
  const growth = await readGrowth(json);
  if (growth === null) throw new Error('Nothing was measured yet: run `npm run bench:growth`.');
  await drawGrowth(growth, svg);
}
