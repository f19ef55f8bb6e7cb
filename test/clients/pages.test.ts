import { delimiter } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Block, type Page, readPages, sessionOf } from '../docs/pages.ts';
import { type PageOptions, runPage, showsJson, shownAfter, showsText } from './page-session.ts';
import { findPrograms, startTwoClusters } from './postgres-programs.ts';

const pages = (await readPages()).filter((page) => sessionOf(page).length > 0);
const ofOperators = pages.filter((page) => sessionOf(page).some(({ text }) => text.includes('localhost:5432')));
const programs = await findPrograms();

interface Surprise {
  readonly place: string;
  /** Commands that failed although nothing says so, or where one should have. */
  readonly failed?: readonly string[];
  readonly shown?: string;
  readonly said: string;
}

/** Where the page does not say what is; with all that was said, for whoever has to set it right. */
const surprisesOf = async (page: Page, options: PageOptions = {}): Promise<(Surprise | string)[]> => {
  const { first, again, left } = await runPage(page, options);
  const whenTyped = first.flatMap(({ block, text: said, failed }): Surprise[] => {
    const place = `${page.path}:${block.line}`;
    if (failed.length > 0 !== (block.mark?.kind === 'fails')) return [{ place, failed, said }];
    const shown = shownAfter(page, block);
    return shown === null || isShown(shown, said) ? [] : [{ place, shown: shown.text, said }];
  });
  // What is there already is told in other words, but nothing fails.
  const whenTypedAgain = (again ?? []).flatMap(({ block, text: said, failed }): Surprise[] =>
    failed.length > 0 !== (block.mark?.kind === 'fails')
      ? [{ place: `${page.path}:${block.line}, typed again`, failed, said }]
      : [],
  );
  return [...whenTyped, ...whenTypedAgain, ...left.map((name) => `${page.path} leaves ${name} in the checkout`)];
};

const isShown = ({ language, text }: Block, said: string): boolean =>
  language === 'json' ? showsJson(JSON.parse(text), parsed(said)) : showsText(text, said);

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

describe('what a page says to type does what the page says', () => {
  const ofOneMachine = pages.filter((page) => !ofOperators.includes(page));
  test.each(ofOneMachine.map((page) => [page.path, page] as const))('%s', async (_, page) => {
    expect(await surprisesOf(page)).toEqual([]);
  });

  test.skipIf(programs === null).each(ofOperators.map((page) => [page.path, page] as const))(
    '%s, with the programs of PostgreSQL',
    async (_, page) => {
      const clusters = await startTwoClusters(programs ?? '');
      try {
        const options: PageOptions = {
          isTypedTwice: false,
          places: { '5432': clusters.first, '5433': clusters.second },
          env: {
            PATH: [programs, process.env['PATH']].join(delimiter),
            PGPASSWORD: clusters.password,
            POSTGRES_PASSWORD: clusters.password,
          },
        };
        expect(await surprisesOf(page, options)).toEqual([]);
      } finally {
        await clusters.stop();
      }
    },
  );

  test('and there are pages of both kinds', () => {
    expect([ofOneMachine.length > 5, ofOperators.length > 1]).toEqual([true, true]);
  });
});

test('the comparison is one: other words, lines and values are seen', () => {
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
