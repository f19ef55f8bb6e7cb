import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { type KeyboardEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { groupDigits } from '../../ui/exact-number.ts';
import { formatBucket, formatTick, type TickUnit } from './bucket-text.ts';
import type { Selection, UsageBucket } from './selection.ts';
import { findRange, formatAxisValue, type Segment, stackValues } from './stacking.ts';
import { Swatch } from './swatch.tsx';
import { planTicks } from './ticks.ts';
import type { UsageModel } from './usage-model.ts';

const HEIGHT = 340;
/** Pixels that a label of the time axis needs. */
const TICK_WIDTH = 84;
/** Half of a bucket, so that a label is below the middle of its bar. */
const HALF_BUCKET_MS: Readonly<Record<UsageBucket, number>> = {
  HOUR: 1_800_000,
  DAY: 43_200_000,
  WEEK: 3.5 * 86_400_000,
  MONTH: 15 * 86_400_000,
};
const SHORTEST_TICK: Readonly<Record<UsageBucket, TickUnit>> = {
  HOUR: 'hour',
  DAY: 'day',
  WEEK: 'day',
  MONTH: 'month',
};

interface ChartProps {
  readonly usage: UsageModel;
  /** Whole buckets that the chart covers. */
  readonly window: { readonly from: string; readonly to: string };
  readonly selection: Selection;
  /** Index of the group that is emphasized; null for none. */
  readonly focused: number | null;
}

interface Bar {
  readonly from: number;
  readonly to: number;
  readonly segments: readonly Segment[];
}

/** Stacked bars over time. The figures of a bar are shown on hover, and with the arrow keys. */
export function UsageChart({ usage, window, selection, focused }: ChartProps) {
  const { bucket, zone, groupBy } = selection;
  const colorScheme = useComputedColorScheme('light');
  const { ref: measure, width } = useElementSize<HTMLDivElement>();
  const frame = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const mark = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const emphasis = useRef<number | null>(null);
  const [active, setActive] = useState<number | null>(null);
  const bars = useMemo<Bar[]>(
    () =>
      usage.rows.map(({ start, end, values }) => ({
        from: Date.parse(start),
        to: Date.parse(end),
        segments: stackValues(values),
      })),
    [usage],
  );
  useEffect(() => {
    const target = frame.current;
    if (width === 0 || !target) return;
    const style = getComputedStyle(target);
    const read = (name: string): string => style.getPropertyValue(name).trim();
    const colours = usage.groups.map(({ isOthers }, index) => read(isOthers ? '--series-others' : `--series-${index}`));
    const [from, to] = [Date.parse(window.from), Date.parse(window.to)];
    const ticks = planTicks(
      { from, to, shortest: SHORTEST_TICK[bucket], zone },
      Math.max(2, Math.floor(width / TICK_WIDTH)),
    );
    const range = findRange(bars.map(({ segments }) => segments));
    const axis = {
      stroke: read('--mantine-color-dimmed'),
      font: '13px system-ui, sans-serif',
      ticks: { show: false },
    } as const;
    const chart = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [12, 12, 0, 0],
        legend: { show: false },
        cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
        scales: { x: { time: false, range: () => [from, to] }, y: { range: () => [range[0], range[1]] } },
        series: [{}, { paths: () => null, points: { show: false } }],
        axes: [
          {
            ...axis,
            grid: { show: false },
            splits: () => ticks.times.map((time) => time + HALF_BUCKET_MS[bucket]),
            values: () => ticks.times.map((time) => formatTick(time, ticks.unit, zone)),
          },
          {
            ...axis,
            size: 64,
            grid: { stroke: read('--mantine-color-default-border'), width: 1 },
            values: (_, values) => values.map(formatAxisValue),
          },
        ],
        hooks: {
          draw: [(chart) => drawBars(chart, bars, colours, emphasis.current)],
          setCursor: [({ cursor }) => setActive(cursor.idx ?? null)],
        },
      },
      [bars.map((bar) => (bar.from + bar.to) / 2), bars.map(() => 0)],
      target,
    );
    plot.current = chart;
    return () => {
      plot.current = null;
      chart.destroy();
    };
  }, [width, bars, usage, window.from, window.to, bucket, zone, colorScheme]);
  useEffect(() => {
    emphasis.current = focused;
    plot.current?.redraw(false);
  }, [focused]);
  const onKeyDown = (event: KeyboardEvent): void => {
    const last = bars.length - 1;
    const next = nextBar(event.key, active, last);
    if (next === undefined) return;
    event.preventDefault();
    setActive(next);
  };
  const row = active === null ? undefined : usage.rows[active];
  useLayoutEffect(() => {
    const bar = active === null ? undefined : bars[active];
    if (!tip.current || !plot.current || !bar) return;
    placeNext(tip.current, plot.current, bar);
    if (mark.current) placeOver(mark.current, plot.current, bar);
  }, [active, bars]);
  const noun = groupBy === null ? '' : ` by ${groupBy}`;
  return (
    <div
      ref={measure}
      className="usage-chart"
      role="group"
      aria-roledescription="chart"
      aria-label={`Bars of usage${noun}. The arrow keys show the figures of a bar; the table below has all.`}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onBlur={() => setActive(null)}
    >
      {row && <div ref={mark} className="usage-mark" />}
      <div ref={frame} className="plot" />
      {row && (
        <div className="usage-tooltip" role="status" ref={tip}>
          <strong>{formatBucket(row.start, bucket, zone)}</strong>
          <dl>
            {usage.groups.length > 1 &&
              usage.groups.map((group, index) => {
                const value = row.values[index] ?? null;
                return (
                  value !== null && (
                    <div key={index} data-dimmed={focused !== null && focused !== index}>
                      <dt>
                        <Swatch index={index} isOthers={group.isOthers} />
                        {group.name}
                      </dt>
                      <dd className="figure">{groupDigits(value)}</dd>
                    </div>
                  )
                );
              })}
            <div>
              <dt>{selection.areOthersHidden ? 'Total with the others' : 'Total'}</dt>
              <dd className="figure">{groupDigits(row.total)}</dd>
            </div>
          </dl>
        </div>
      )}
    </div>
  );
}

function nextBar(key: string, active: number | null, last: number): number | null | undefined {
  switch (key) {
    case 'ArrowLeft':
      return active === null ? last : Math.max(0, active - 1);
    case 'ArrowRight':
      return active === null ? 0 : Math.min(last, active + 1);
    case 'Home':
      return 0;
    case 'End':
      return last;
    case 'Escape':
      return null;
    default:
      return undefined;
  }
}

/** Moves the tooltip next to a bar, to the side with more space. */
function placeNext(tip: HTMLElement, chart: uPlot, bar: Bar): void {
  const left = chart.over.offsetLeft;
  const [start, end] = [chart.valToPos(bar.from, 'x'), chart.valToPos(bar.to, 'x')];
  const isLeft = start > chart.over.clientWidth / 2;
  tip.style.right = isLeft ? `${chart.width - left - start + 12}px` : '';
  tip.style.left = isLeft ? '' : `${left + end + 12}px`;
}

/** Moves the mark behind a bar. */
function placeOver(mark: HTMLElement, chart: uPlot, bar: Bar): void {
  const { over } = chart;
  const [start, end] = [chart.valToPos(bar.from, 'x'), chart.valToPos(bar.to, 'x')];
  mark.style.left = `${over.offsetLeft + start}px`;
  mark.style.width = `${Math.max(end - start, 2)}px`;
  mark.style.top = `${over.offsetTop}px`;
  mark.style.height = `${over.clientHeight}px`;
}

/** Draws the bars in canvas pixels. */
function drawBars(chart: uPlot, bars: readonly Bar[], colours: readonly string[], emphasized: number | null): void {
  const { ctx, bbox } = chart;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { from, to, segments } of bars) {
    const start = chart.valToPos(from, 'x', true);
    const length = chart.valToPos(to, 'x', true) - start;
    const gap = Math.min(length * 0.2, 8 * scale);
    const width = Math.max(length - gap, 1);
    for (const { group, from: low, to: high } of segments) {
      const y = chart.valToPos(Math.max(low, high), 'y', true);
      const height = chart.valToPos(Math.min(low, high), 'y', true) - y;
      ctx.globalAlpha = emphasized === null || emphasized === group ? 1 : 0.2;
      ctx.fillStyle = colours[group] ?? '';
      // A line of ground between two segments, so that neighbours differ without colour too.
      ctx.fillRect(start + gap / 2, y, width, Math.max(height - (height > 3 * scale ? scale : 0), Math.min(height, 1)));
    }
  }
  ctx.restore();
}
