// Pure: usage as a table with a line of bars for each group. Figures are the API's own, or exact sums of them.
import { decimalOf, largestScale, unitsOf } from '../../lib/decimal.ts';
import { sparkline } from './sparkline.ts';
import type { Surface } from './terminal.ts';
import { cut, harmless, padEnd, padStart, widthOf } from './text.ts';

export interface UsageSeries {
  readonly group: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly total: string;
  readonly points: readonly { readonly bucketStart: string; readonly value: string }[];
}

/** A group with what is told of it. */
export interface UsageGroup {
  /** In the order of what it was grouped by; null where the stream lacks the dimension. */
  readonly names: readonly (readonly string[] | null)[];
  readonly total: string;
  /** In tenths of a percent of all, rounded. */
  readonly share: number;
  /** Of the buckets, those without usage among them. */
  readonly least: string;
  readonly most: string;
  /** One for each bucket. */
  readonly values: readonly string[];
}

export interface UsageSummary {
  /** The largest first. */
  readonly groups: readonly UsageGroup[];
  /** What is not among them, or null where nothing is. */
  readonly others: { readonly count: number; readonly sum: UsageGroup } | null;
  readonly all: UsageGroup;
}

/** The `top` largest groups, the rest as one, and all of it. Buckets by their starts, in milliseconds. */
export const summarize = (
  series: readonly UsageSeries[],
  groupBy: readonly string[],
  bucketStarts: readonly number[],
  top: number,
): UsageSummary => {
  const scale = largestScale(series.flatMap(({ points }) => points.map(({ value }) => value)));
  const places = new Map(bucketStarts.map((start, index) => [start, index]));
  const rows = series.map(({ group, total, points }) => {
    const units = bucketStarts.map(() => 0n);
    for (const { bucketStart, value } of points) {
      const place = places.get(Date.parse(bucketStart));
      if (place === undefined) throw new Error(`The bucket of ${bucketStart} is none of the window's.`);
      units[place] = unitsOf(value, scale);
    }
    const names = groupBy.map((name) => group.find(({ dimension }) => dimension === name)?.values ?? null);
    return { names, units, total: unitsOf(total, scale) };
  });
  rows.sort((a, b) => compare(b.total, a.total));
  const whole = sumOf(rows.map(({ total }) => total));
  const told = ({ names, units, total }: (typeof rows)[number]): UsageGroup => ({
    names,
    total: decimalOf(total, scale),
    share: whole === 0n ? 0 : Number((total * 2000n + whole) / (whole * 2n)),
    least: decimalOf(
      units.reduce((one, other) => (other < one ? other : one)),
      scale,
    ),
    most: decimalOf(
      units.reduce((one, other) => (other > one ? other : one)),
      scale,
    ),
    values: units.map((unit) => decimalOf(unit, scale)),
  });
  const together = (some: typeof rows): UsageGroup =>
    told({
      names: [],
      units: bucketStarts.map((_, index) => sumOf(some.map(({ units }) => units[index] ?? 0n))),
      total: sumOf(some.map(({ total }) => total)),
    });
  const rest = rows.slice(top);
  return {
    groups: rows.slice(0, top).map(told),
    others: rest.length === 0 ? null : { count: rest.length, sum: together(rest) },
    all: together(rows),
  };
};

const sumOf = (units: readonly bigint[]): bigint => units.reduce((one, other) => one + other, 0n);
const compare = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b));

const GAP = '  ';
/** A name is not cut to less, whatever the terminal. */
const LEAST_NAME = 8;
const LEAST_BARS = 8;
/** A line of bars that nothing limits. */
const MOST_BARS = 80;

/** Lines for the surface: names are cut and columns left out where it is narrow, figures never. */
export const drawUsage = (
  summary: UsageSummary,
  groupBy: readonly string[],
  bucket: string,
  surface: Surface,
): string => {
  const { groups, others, all } = summary;
  const rows = [...groups, ...(others ? [others.sum] : []), all];
  const labels = [
    ...groups.map(({ names }) => names.map((values) => (values === null ? '-' : harmless(values.join('|'))))),
    ...(others ? [[`${others.count} ${others.count === 1 ? 'other' : 'others'}`]] : []),
    ['all'],
  ];
  const head = groupBy.map((name) => harmless(name).toUpperCase());
  const columns = surface.columns ?? Number.POSITIVE_INFINITY;
  const barTitle = `BY ${bucket.toUpperCase()}`;
  const bars = Math.max(barTitle.length, Math.min(all.values.length, MOST_BARS));
  const nameWidths = head.map((title, column) =>
    Math.max(...[title, ...labels.map((line) => line[column] ?? '')].map(widthOf)),
  );

  const figures = [
    column(
      'TOTAL',
      rows.map(({ total }) => total),
    ),
    column(
      'SHARE',
      rows.map(({ share, total }) => shareText(share, total)),
    ),
    column(
      'MIN',
      rows.map(({ least }) => least),
    ),
    column(
      'MAX',
      rows.map(({ most }) => most),
    ),
  ];
  const widthWith = (shown: readonly Column[], names: readonly number[], barCount: number): number =>
    [...names, ...shown.map(({ width }) => width), barCount].reduce(
      (sum, width) => sum + width + GAP.length,
      -GAP.length,
    );
  const leastNames = nameWidths.map((width) => Math.min(width, LEAST_NAME));
  const leastBars = Math.min(bars, LEAST_BARS);
  const shown = widthWith(figures, leastNames, leastBars) <= columns ? figures : figures.slice(0, 2);

  // Names first get what they need, up to half of what figures leave; bars get the rest.
  const free = columns - widthWith(shown, leastNames, leastBars);
  const fitted = shrink(nameWidths, leastNames, Math.max(0, Math.max(Math.floor(free / 2), free - (bars - leastBars))));
  const room = columns - widthWith(shown, fitted, 0);
  const barCount = Math.max(1, Math.min(bars, room));

  const nameCells = (cells: readonly string[]): string[] =>
    fitted.map((width, index) => padEnd(cut(cells[index] ?? '', width), width));
  const lines = rows.map((row, index) => {
    const isSum = index >= groups.length;
    const units = unitsIn(row.values);
    const text = [...nameCells(labels[index] ?? []), ...shown.map(({ cells }) => cells[index] ?? '')].join(GAP);
    const line = sparkline(units, barCount);
    return `${isSum ? surface.paint('dim', text) : text}${GAP}${surface.paint(isSum ? 'dim' : 'cyan', line)}`;
  });
  const titles = [
    ...nameCells(head),
    ...shown.map(({ title, width }) => padStart(title, width)),
    cut(barTitle, barCount),
  ].join(GAP);
  return `${surface.paint('bold', titles)}\n${lines.join('\n')}\n`;
};

interface Column {
  readonly title: string;
  readonly width: number;
  readonly cells: readonly string[];
}

/** Figures below each other by their points. */
const column = (title: string, figures: readonly string[]): Column => {
  const behind = Math.max(...figures.map(lengthBehindPoint));
  const aligned = figures.map((text) => text + ' '.repeat(behind - lengthBehindPoint(text)));
  const width = Math.max(title.length, ...aligned.map((text) => text.length));
  return { title, width, cells: aligned.map((text) => padStart(text, width)) };
};

const lengthBehindPoint = (text: string): number => {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point;
};

const unitsIn = (values: readonly string[]): bigint[] => {
  const scale = largestScale(values);
  return values.map((value) => unitsOf(value, scale));
};

const shareText = (tenths: number, total: string): string =>
  tenths === 0 && total !== '0' ? '<0.1%' : percentText(tenths);

/** Of tenths of a percent. */
export const percentText = (tenths: number): string => `${Math.floor(tenths / 10)}.${tenths % 10}%`;

/** Widths between the least and the wanted ones, that take `extra` cells beyond the least together. */
const shrink = (wanted: readonly number[], least: readonly number[], extra: number): number[] => {
  const widths = [...least];
  let left = extra;
  for (let grown = true; grown && left > 0;) {
    grown = false;
    for (const [index, width] of widths.entries()) {
      if (left <= 0 || width >= (wanted[index] ?? 0)) continue;
      widths[index] = width + 1;
      left -= 1;
      grown = true;
    }
  }
  return widths;
};
