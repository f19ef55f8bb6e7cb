// Pure: a table of usage with a line of bars for each group.
import cliTruncate from 'cli-truncate';
import stringWidth from 'string-width';
import { formatCount, groupDigits } from '../../lib/format-amounts.ts';
import type { UsageSummary } from '../usage-summary.ts';
import { formatSparkline } from '../../terminal/sparkline.ts';
import { formatTable } from '../../terminal/table.ts';
import { replaceControlCharacters, type Terminal } from '../../terminal/terminal.ts';

const GAP = 2;
/** Names are not truncated to less than this. */
const MIN_NAME_WIDTH = 8;
const MIN_BARS = 8;
const MAX_BARS = 80;

/** In a narrow terminal names are truncated and MIN and MAX left out; figures are never truncated. */
export function formatUsageTable(
  { groups, others, all }: UsageSummary,
  groupBy: readonly string[],
  bucket: string,
  { columns, style }: Pick<Terminal, 'columns' | 'style'>,
): string {
  const rows = [...groups, ...(others ? [others.sum] : []), all];
  const names = [
    groupBy.map((name) => name.toUpperCase()),
    ...groups.map(({ group }) => group.map((values) => values?.join('|') ?? '-')),
    ...(others ? [[`${formatCount(others.count)} ${others.count === 1 ? 'other' : 'others'}`]] : []),
    ['all'],
  ].map((cells) => groupBy.map((_, column) => replaceControlCharacters(cells[column] ?? '')));
  const total = alignAtPoint(['TOTAL', ...rows.map((row) => groupDigits(row.total))]);
  const share = alignAtPoint(['SHARE', ...rows.map((row) => formatShare(row.share, row.total))]);
  const min = alignAtPoint(['MIN', ...rows.map((row) => groupDigits(row.min))]);
  const max = alignAtPoint(['MAX', ...rows.map((row) => groupDigits(row.max))]);
  const barTitle = `BY ${bucket.toUpperCase()}`;
  const maxBars = Math.max(barTitle.length, Math.min(all.values.length, MAX_BARS));

  const roomBeside = (figures: readonly (readonly string[])[]): number =>
    columns - figures.reduce((sum, [cell = '']) => sum + cell.length + GAP, 0);
  const minRoom = groupBy.length * (MIN_NAME_WIDTH + GAP) + MIN_BARS;
  const figures = [total, share, min, max].slice(0, roomBeside([total, share, min, max]) >= minRoom ? 4 : 2);
  const room = roomBeside(figures);
  const nameWidths = fitNames(
    groupBy.map((_, column) => Math.max(...names.map((cells) => stringWidth(cells[column] ?? '')))),
    room - Math.min(maxBars, MIN_BARS),
  );
  const barCount = Math.max(1, Math.min(maxBars, room - nameWidths.reduce((sum, width) => sum + width + GAP, 0)));

  const lines = names.map((cells, index) => [
    ...cells.map((name, column) => cliTruncate(name, nameWidths[column] ?? 0)),
    ...figures.map((figure) => figure[index] ?? ''),
    index === 0
      ? cliTruncate(barTitle, barCount)
      : formatSparkline((rows[index - 1]?.values ?? []).map(Number), barCount),
  ]);
  const table = formatTable(
    lines.map((cells, index) => {
      if (index === 0) return cells.map((cell) => style('bold', cell));
      if (index > groups.length) return cells.map((cell) => style('dim', cell));
      return cells.with(-1, style('cyan', cells.at(-1) ?? ''));
    }),
  );
  return `${table}${describeBar(all.values.length, Math.min(barCount, all.values.length), bucket)}\n`;
}

/** States which buckets a bar is, as formatSparkline divides them. */
function describeBar(buckets: number, bars: number, bucket: string): string {
  if (buckets === bars)
    return `One bar is one ${bucket}. The bars of each line begin at 0 and have a scale of their own.`;
  const [least, most] = [Math.floor(buckets / bars), Math.ceil(buckets / bars)];
  const count = least === most ? String(least) : `${least} or ${most}`;
  return `One bar is the mean of ${count} ${bucket}s. The bars of each line begin at 0 and have a scale of their own.`;
}

/** Returns the width of each column of names. If they do not fit into the room, all are limited to the same width. */
function fitNames(wanted: readonly number[], room: number): number[] {
  const fits = wanted.reduce((sum, width) => sum + width + GAP, 0) <= room;
  const limit = fits ? Number.POSITIVE_INFINITY : Math.max(MIN_NAME_WIDTH, Math.floor(room / wanted.length) - GAP);
  return wanted.map((width) => Math.min(width, limit));
}

/** Pads the figures to one width, with their decimal points below each other. The first cell is the title. */
function alignAtPoint([title = '', ...figures]: readonly string[]): string[] {
  const fractionLength = (text: string): number => (text.includes('.') ? text.length - text.indexOf('.') : 0);
  const maxFraction = Math.max(...figures.map(fractionLength));
  const padded = figures.map((text) => text + ' '.repeat(maxFraction - fractionLength(text)));
  const width = Math.max(title.length, ...padded.map((text) => text.length));
  return [title, ...padded].map((text) => text.padStart(width));
}

function formatShare(tenths: number, total: string): string {
  return tenths === 0 && total !== '0' ? '<0.1%' : formatPercent(tenths);
}

/** Formats tenths of a percent. */
export const formatPercent = (tenths: number): string => `${Math.floor(tenths / 10)}.${tenths % 10}%`;
