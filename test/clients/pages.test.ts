import { describe, expect, test } from 'vitest';
import { readPages, sessionOf } from '../docs/pages.ts';
import { runPage, showsJson, shownAfter, showsText } from './page-session.ts';

const pages = (await readPages()).filter((page) => sessionOf(page).length > 0);

describe('what a page says to type does what the page says', () => {
  test.each(pages.map((page) => [page.path, page] as const))('%s', async (_, page) => {
    for (const { block, text, failed } of await runPage(page)) {
      const place = `${page.path}:${block.line}`;
      expect({ place, failed: failed.length > 0, text, commands: failed }).toMatchObject({
        place,
        failed: block.mark?.kind === 'fails',
      });
      const shown = shownAfter(page, block);
      if (!shown) continue;
      const isShown =
        shown.language === 'json' ? showsJson(JSON.parse(shown.text), JSON.parse(text)) : showsText(shown.text, text);
      // Both in whole, for whoever has to set the page right.
      if (!isShown) expect({ place: `${page.path}:${shown.line}`, text }).toEqual({ place, text: shown.text });
    }
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
