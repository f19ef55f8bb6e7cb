import { delimiter } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Block, type Page, readPages, sessionOf } from '../docs/pages.ts';
import { type PageOptions, runPage, showsJson, shownAfter, showsText } from './page-session.ts';
import { findPrograms, startTwoClusters } from './postgres-programs.ts';

const pages = (await readPages()).filter((page) => sessionOf(page).length > 0);
const forOperators = pages.filter((page) => sessionOf(page).some(({ text }) => text.includes('localhost:5432')));
const programs = await findPrograms();

interface Mismatch {
  readonly location: string;
  /** Commands that failed unexpectedly; empty if the page says that one fails. */
  readonly failed?: readonly string[];
  readonly shown?: string;
  readonly printed: string;
}

/** Runs a page twice, and returns where it differs from what it shows. */
const findMismatches = async (page: Page, options: PageOptions = {}): Promise<(Mismatch | string)[]> => {
  const { first, second, left } = await runPage(page, options);
  const inFirst = first.flatMap(({ block, text: printed, failed }): Mismatch[] => {
    const location = `${page.path}:${block.line}`;
    if (failed.length > 0 !== (block.mark?.kind === 'fails')) return [{ location, failed, printed }];
    const shown = shownAfter(page, block);
    return shown === null || isShown(shown, printed) ? [] : [{ location, shown: shown.text, printed }];
  });
  // The second run may print that an object exists already, but no command may fail.
  const inSecond = (second ?? []).flatMap(({ block, text: printed, failed }): Mismatch[] =>
    failed.length > 0 !== (block.mark?.kind === 'fails')
      ? [{ location: `${page.path}:${block.line}, second run`, failed, printed }]
      : [],
  );
  return [...inFirst, ...inSecond, ...left.map((name) => `${page.path} leaves ${name} in the checkout`)];
};

/** Formats one line for each, for the message of a failure: a summary shows its first lines, and not the compared values. */
const format = (mismatches: readonly (Mismatch | string)[]): string =>
  mismatches.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n');

const isShown = ({ language, text }: Block, printed: string): boolean =>
  language === 'json' ? showsJson(JSON.parse(text), parseOrUndefined(printed)) : showsText(text, printed);

const parseOrUndefined = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

describe('documentation pages', () => {
  const otherPages = pages.filter((page) => !forOperators.includes(page));
  test.each(otherPages.map((page) => [page.path, page] as const))('%s prints what it shows', async (_, page) => {
    const mismatches = await findMismatches(page);
    expect(mismatches, format(mismatches)).toEqual([]);
  });

  test.skipIf(programs === null).each(forOperators.map((page) => [page.path, page] as const))(
    '%s prints what it shows with the programs of PostgreSQL',
    async (_, page) => {
      const clusters = await startTwoClusters(programs ?? '');
      try {
        const options: PageOptions = {
          runsTwice: false,
          ports: { '5432': clusters.first, '5433': clusters.second },
          env: {
            PATH: [programs, process.env['PATH']].join(delimiter),
            PGPASSWORD: clusters.password,
            POSTGRES_PASSWORD: clusters.password,
          },
        };
        const mismatches = await findMismatches(page, options);
        expect(mismatches, format(mismatches)).toEqual([]);
      } finally {
        await clusters.stop();
      }
    },
  );

  test('are found for both kinds of tests', () => {
    expect([otherPages.length > 5, forOperators.length > 1]).toEqual([true, true]);
  });
});

test('comparison of output > fails when words, lines or values differ', () => {
  const shown = 'a 1 …\n…\nb';
  expect([showsText(shown, 'a  1 x y\nb'), showsText(shown, 'a 1 x\nanything\nmore\nb')]).toEqual([true, true]);
  expect([showsText(shown, 'a 2 x\nb'), showsText(shown, 'a 1 x\nb\nc'), showsText(shown, 'a 1 x')]).toEqual([
    false,
    false,
    false,
  ]);
  const json = { id: '…', list: [{ at: '2026-…' }], none: null };
  expect(showsJson(json, { id: 'x', list: [{ at: '2026-01' }], none: null })).toBe(true);
  expect(showsJson(json, { id: 'x', list: [{ at: '2027-01' }], none: null })).toBe(false);
  expect(showsJson(json, { id: 'x', list: [], none: null })).toBe(false);
  expect(showsJson(json, { id: 'x', list: [{ at: '2026-01' }], none: null, more: 1 })).toBe(false);
  expect(showsJson(json, { id: 1, list: [{ at: '2026-01' }], none: null })).toBe(false);
});
