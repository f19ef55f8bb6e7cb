import { expect, test } from 'vitest';
import { computeWindow } from '../../src/jobs/schedule/window.ts';
import { formatInZone } from '../../src/lib/zoned-time.ts';
import { type Page, readPages } from './pages.ts';
import { arrowsOf, POSSIBLE_ARROWS } from './run-arrows.ts';

const pages = await readPages();
const diagramsOf = (path: string, kind: string): string[] => {
  const page: Page | undefined = pages.find((other) => other.path === path);
  return (page?.blocks ?? []).filter(({ text }) => text.startsWith(kind)).map(({ text }) => text);
};

test('docs/concepts.md > time line shows the window of its slot', () => {
  const drawn = diagramsOf('docs/concepts.md', 'gantt').find((text) => text.includes('section Window')) ?? '';
  const [, slot = '', zone = '', range = ''] = /title Slot (.+) in (\w+), range (\S+)/.exec(drawn) ?? [];
  const timeZone = `Europe/${zone}`;
  const window = computeWindow(
    { range, endTimeOffset: null, aggregationBucket: 'DAY', timeZone, minimizeFresh: true },
    new Date(`${slot.replace(' ', 'T')}:00+01:00`),
  );
  const wall = (at: Date): string => formatInZone(at, timeZone).slice(0, 16).replace('T', ' ');
  const [, bars = ''] = /section Window\n([\s\S]*?)section/.exec(drawn) ?? [];
  const times = bars.match(/\d{4}-\d\d-\d\d \d\d:\d\d/g) ?? [];
  expect([times[0], times.at(-1)]).toEqual([wall(window.start), wall(window.end)]);
  expect(times).toHaveLength(4);
  expect(drawn).toContain(`milestone, ${slot}`);
});

test('docs/concepts.md > life of a run has an arrow for each transition', () => {
  const drawn = diagramsOf('docs/concepts.md', 'stateDiagram-v2').filter((text) => text.includes('QUEUED'));
  expect(drawn.map(arrowsOf)).toEqual([POSSIBLE_ARROWS]);
  expect(POSSIBLE_ARROWS.size).toBeGreaterThan(5);
});

test('docs/concepts.md > owed spans end at the earliest start of the windows that end later', () => {
  const drawn = diagramsOf('docs/concepts.md', 'gantt').find((text) => text.includes('owed :')) ?? '';
  const windows = [...drawn.matchAll(/section Slot on (\d+ \w+)\n([\s\S]*?)(?=section|$)/g)].map(
    ([, day, bars = '']) => {
      const { start, end } = computeWindow(
        { range: 'ago(3d)', endTimeOffset: null, aggregationBucket: 'DAY', timeZone: 'UTC', minimizeFresh: true },
        new Date(`${day} 2026 01:00Z`),
      );
      const [owed = [], others = []] = bars.split('\n').map((bar) => bar.match(/\d{4}-\d\d-\d\d/g) ?? []);
      return { window: [start, end].map((at) => at.toISOString().slice(0, 10)), owed, others };
    },
  );
  expect(drawn).toContain('ago(3d)');
  expect(windows).toHaveLength(3);
  for (const { window, owed, others } of windows) {
    const [start = '', end = ''] = window;
    const laterStarts = windows.flatMap((other) => ((other.window[1] ?? '') > end ? (other.window[0] ?? []) : []));
    const owedUntil = [end, ...laterStarts].toSorted()[0];
    expect(owed).toEqual([start, owedUntil]);
    expect(others).toEqual(owedUntil === end ? [] : [owedUntil, end]);
  }
});
