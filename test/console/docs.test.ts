import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { addressOf, renderDocsPage, sectionsOf } from '../../console/docs-pages.ts';
import { searchDocs } from '../../console/src/pages/docs/docs-search.ts';

const folder = join(import.meta.dirname, '../../docs');
const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.md')).sort();
const known = new Set(files);
const pages = await Promise.all(
  files.map(async (file) => ({
    file,
    address: addressOf(file),
    page: renderDocsPage(file, await readFile(join(folder, file), 'utf8'), known),
  })),
);
const render = (markdown: string, file = 'how-to/page.md') =>
  renderDocsPage(file, markdown, new Set(['README.md', 'how-to/page.md', 'concepts.md']));

describe('page of the documentation', () => {
  test.each([
    ['another page', '[a](../concepts.md)', '<p><a href="docs/concepts">a</a></p>'],
    ['a heading of another page', '[a](../concepts.md#b)', '<p><a href="docs/concepts#b">a</a></p>'],
    ['a heading of the same page', '[a](#b)', '<p><a href="docs/how-to/page#b">a</a></p>'],
    ['the index', '[a](../README.md)', '<p><a href="docs">a</a></p>'],
    ['another host', '[a](https://example.com/?a=1&b=2)', '<p><a href="https://example.com/?a=1&amp;b=2">a</a></p>'],
    ['a file that is not a page', '[a `b`](../../src/main.ts)', '<p>a <code>b</code></p>'],
  ])('has the address in the console when it links to %s', (_, markdown, html) => {
    expect(render(markdown).html.trim()).toBe(html);
  });

  test('has a button on blocks that readers use, and none on what a program prints', () => {
    expect(render('```sh\na <b>\n```').html).toContain('<pre tabindex="0"><code>a &lt;b&gt;</code></pre><button');
    expect(render('```text\na\n```').html).not.toContain('<button');
  });

  test('gives repeated headings ids of their own, and takes the title out of the text', () => {
    const { title, headings, html } = render('# The *title*\n\n## A `b`, c\n\n## A b c\n\n### A b c\n');
    expect(title).toBe('The title');
    expect(headings).toEqual([
      { id: 'a-b-c', level: 2, text: 'A b, c' },
      { id: 'a-b-c-1', level: 2, text: 'A b c' },
      { id: 'a-b-c-2', level: 3, text: 'A b c' },
    ]);
    expect(html).toContain('<h3 id="a-b-c-2"');
    expect(html).not.toContain('title');
  });
});

describe('documentation in the console', () => {
  test('has a title on each page, and each link leads to a page and a heading that exist', () => {
    const ids = new Map(
      pages.map(({ address, page }) => [
        address,
        new Set([...page.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)),
      ]),
    );
    const broken = pages.flatMap(({ file, page }) =>
      [...page.html.matchAll(/<a href="docs\/?([^"#]*)(?:#([^"]*))?"/g)]
        .filter(([, path = '', id]) => !ids.has(path) || (id !== undefined && ids.get(path)?.has(id) !== true))
        .map(([link]) => `${file}: ${link}`),
    );
    expect(broken).toEqual([]);
    expect(pages.filter(({ page }) => page.title === '').map(({ file }) => file)).toEqual([]);
    expect(pages.filter(({ page }) => /<img|<script|style=|<!--/.test(page.html)).map(({ file }) => file)).toEqual([]);
    expect(pages.length).toBeGreaterThan(40);
  });

  test('lists each page in a section of the index, except decisions', async () => {
    const sections = sectionsOf(await readFile(join(folder, 'README.md'), 'utf8'));
    const unlisted = pages
      .map(({ address }) => address)
      .filter((address) => address !== '' && !address.startsWith('decisions/') && !sections.has(address));
    expect(unlisted).toEqual([]);
    expect(sections.get('how-to/upgrade')).toBe('How-to guides');
  });
});

describe('search of the documentation', () => {
  const outline = [
    { path: 'a', title: 'Upgrade', section: '', headings: [{ id: 'roll-back', level: 2, text: 'Roll back' }] },
    { path: 'b', title: 'Back up', section: '', headings: [{ id: 'upgrade', level: 2, text: 'Before an upgrade' }] },
    { path: 'c', title: 'Concepts', section: '', headings: [] },
  ];
  test.each([
    ['upgrade', ['a', 'b']],
    ['  BACK up ', ['b', 'a']],
    ['roll upgrade', ['a']],
    ['roll concepts', []],
    ['', ['a', 'b', 'c']],
  ])('of %j finds pages that contain all words, titles first', (search, paths) => {
    expect(searchDocs(outline, search).map(({ path }) => path)).toEqual(paths);
  });

  test('shows the headings that contain a word', () => {
    expect(searchDocs(outline, 'upgrade')[1]?.headings).toEqual([
      { id: 'upgrade', level: 2, text: 'Before an upgrade' },
    ]);
  });

  test('finds words in the texts last, with an excerpt around the first one', () => {
    const texts = new Map([
      ['a', 'no other word'],
      ['c', `${'before '.repeat(20)}an UPGRADE after${' after'.repeat(20)}`],
    ]);
    const hits = searchDocs(outline, 'upgrade', texts);
    expect(hits.map(({ path }) => path)).toEqual(['a', 'b', 'c']);
    expect(hits.map(({ excerpt }) => excerpt?.length ?? 0)).toEqual([0, 0, expect.any(Number) as number]);
    expect(hits[2]?.excerpt).toMatch(/^… (before )+an UPGRADE after .* …$/);
    expect(searchDocs(outline, 'concepts upgrade', texts).map(({ path }) => path)).toEqual(['c']);
  });
});
