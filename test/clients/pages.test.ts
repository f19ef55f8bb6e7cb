import { delimiter } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Page, readPages, sessionOf } from '../docs/pages.ts';
import { type PageOptions, runPage, showsJson, shownAfter, showsText } from './page-session.ts';
import { findPrograms, startTwoClusters } from './postgres-programs.ts';

const pages = (await readPages()).filter((page) => sessionOf(page).length > 0);
const ofOperators = pages.filter((page) => sessionOf(page).some(({ text }) => text.includes('localhost:5432')));
const programs = await findPrograms();

const holdsTrue = async (page: Page, options: PageOptions = {}): Promise<void> => {
  for (const { block, text, failed } of await runPage(page, options)) {
    const place = `${page.path}:${block.line}`;
    // With all that was said, for whoever has to set the page right.
    expect({ place, fails: failed.length > 0, commands: failed, text }).toEqual({
      place,
      fails: block.mark?.kind === 'fails',
      commands: failed,
      text,
    });
    const shown = shownAfter(page, block);
    if (!shown) continue;
    const isShown =
      shown.language === 'json' ? showsJson(JSON.parse(shown.text), JSON.parse(text)) : showsText(shown.text, text);
    if (!isShown) expect({ place, text }).toEqual({ place, text: shown.text });
  }
};

describe('what a page says to type does what the page says', () => {
  const ofOneMachine = pages.filter((page) => !ofOperators.includes(page));
  test.each(ofOneMachine.map((page) => [page.path, page] as const))('%s', (_, page) => holdsTrue(page));

  test.skipIf(programs === null).each(ofOperators.map((page) => [page.path, page] as const))(
    '%s, with the programs of PostgreSQL',
    async (_, page) => {
      const clusters = await startTwoClusters(programs ?? '');
      try {
        await holdsTrue(page, {
          places: { '5432': clusters.first, '5433': clusters.second },
          env: {
            PATH: [programs, process.env['PATH']].join(delimiter),
            PGPASSWORD: clusters.password,
            POSTGRES_PASSWORD: clusters.password,
          },
        });
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
