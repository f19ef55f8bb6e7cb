import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, parse, specifiedRules, validate } from 'graphql';
import { describe, expect, test } from 'vitest';
import { ROOT, readSourceFiles } from '../support/source-files.ts';
import { type Block, blocksOf, isOutput, linksOf, type Page, readPages, sessionOf, targetOf } from './pages.ts';

const pages = await readPages();
const tests = await readSourceFiles('test');
const schema = buildSchema(await readFile(join(ROOT, 'schema.graphql'), 'utf8'));

/** What is wrong with a block, or null: it is run, read by the parser of its language, or marked. */
const problemOf = async (page: Page, block: Block): Promise<string | null> => {
  const { language, mark, text } = block;
  if (mark?.kind === 'extract') return null;
  if (mark?.kind === 'tried') {
    const call = `triedBlock('${page.path}', '${mark.name}')`;
    return tests.some(({ path, code }) => path === mark.file && code.includes(`await ${call}`))
      ? null
      : `${mark.file} does not take this block: ${call}`;
  }
  if (language === 'sh' || isOutput(block)) return null;
  if (mark) return `a block of ${language} cannot be marked with ${mark.kind}`;
  switch (language) {
    case 'json':
      return parsed(() => JSON.parse(text));
    case 'graphql':
      return (
        (parsed(() => parse(text)) ??
          validate(schema, parse(text), specifiedRules)
            .map(({ message }) => message)
            .join('; ')) ||
        null
      );
    // Each is read by Mermaid itself, which is in the suite of clients.
    case 'mermaid':
      return null;
    default:
      return `nothing runs a block of "${language}": mark it <!-- extract: why -->`;
  }
};

const parsed = (parseIt: () => unknown): string | null => {
  try {
    parseIt();
    return null;
  } catch (error) {
    return String(error);
  }
};

const problemsIn = async (of: readonly Page[]): Promise<string[]> => {
  const found = of.flatMap((page) =>
    page.blocks.map(async (block) => {
      const problem = await problemOf(page, block);
      return problem === null ? [] : [`${page.path}:${block.line}: ${problem}`];
    }),
  );
  return (await Promise.all(found)).flat();
};

describe('every block of the pages', () => {
  test('is run, read by the parser of its language, or marked as an extract with the reason', async () => {
    expect(await problemsIn(pages)).toEqual([]);
    expect(pages.flatMap(({ blocks }) => blocks).length).toBeGreaterThan(15);
    expect(pages.flatMap(sessionOf).length).toBeGreaterThan(5);
  });

  test.each([
    ['```sh\ntrue\n```\n\nwords\n\n```text\nsaid\n```', []],
    ['```text\nsaid by nobody\n```', ['x.md:1: nothing runs a block of "text": mark it <!-- extract: why -->']],
    ['```\nno language\n```', ['x.md:1: nothing runs a block of "": mark it <!-- extract: why -->']],
    ['<!-- extract: of another program -->\n\n```ini\na = b\n```', []],
    [
      '<!-- extract: -->\n\n```ini\na = b\n```',
      ['x.md:3: nothing runs a block of "ini": mark it <!-- extract: why -->'],
    ],
    [
      '<!-- extract: of another place -->\n\nwords\n\n```ini\n```',
      ['x.md:5: nothing runs a block of "ini": mark it <!-- extract: why -->'],
    ],
    [
      '<!-- tried by test/docs/blocks.test.ts -->\n```sql\nSELECT\n```',
      ['x.md:2: nothing runs a block of "sql": mark it <!-- extract: why -->'],
    ],
    [
      '<!-- tried by test/docs/none.test.ts: one -->\n```sql\nSELECT\n```',
      ["x.md:2: test/docs/none.test.ts does not take this block: triedBlock('x.md', 'one')"],
    ],
    // The test is there, and speaks of the page and of another block of it.
    [
      '<!-- tried by test/docs/blocks.test.ts: another -->\n```sql\nSELECT\n```',
      ["x.md:2: test/docs/blocks.test.ts does not take this block: triedBlock('x.md', 'another')"],
    ],
    ['<!-- server -->\n```json\n{}\n```', ['x.md:2: a block of json cannot be marked with server']],
    ['```json\n{,}\n```', [expect.stringContaining('x.md:1: SyntaxError')]],
    ['```graphql\n{ viewer { accountName } }\n```', []],
    ['```graphql\n{ viewer { name } }\n```', ['x.md:1: Cannot query field "name" on type "Viewer".']],
    [
      '```sh\ntrue\n```\n# Another part\n```text\nsaid\n```',
      ['x.md:5: nothing runs a block of "text": mark it <!-- extract: why -->'],
    ],
  ])('is looked at: %j', async (text, problems) => {
    expect(await problemsIn([{ path: 'x.md', text, blocks: blocksOf(text) }])).toEqual(problems);
  });

  test('is closed', () => {
    expect(() => blocksOf('```sh\ntrue\n')).toThrow('line 1: this block is never closed');
  });
});

/** As GitHub makes them of headings. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

describe('the pages', () => {
  test('link to files and headings that are there', async () => {
    const broken: string[] = [];
    let followed = 0;
    for (const page of pages) {
      for (const link of linksOf(page)) {
        const target = targetOf(page, link);
        if (!target) continue;
        followed += 1;
        const text = await readFile(join(ROOT, target.path), 'utf8').catch(() => null);
        if (text === null || (target.heading !== null && !anchorsOf(text).includes(target.heading))) {
          broken.push(`${page.path}: ${link}`);
        }
      }
    }
    expect(broken).toEqual([]);
    expect(followed).toBeGreaterThan(5);
  });

  test('are all linked from docs/README.md or an index that it links to, and that from the README', () => {
    const linked = (path: string): string[] => {
      const page = pages.find((other) => other.path === path);
      return page ? linksOf(page).flatMap((link) => targetOf(page, link)?.path ?? []) : [];
    };
    const expected = pages
      .map(({ path }) => path)
      .filter((path) => path.startsWith('docs/') && path !== 'docs/README.md');
    const fromIndex = linked('docs/README.md');
    const reached = [...fromIndex, ...fromIndex.filter((path) => /^docs\/.*\/README\.md$/.test(path)).flatMap(linked)];
    expect(expected.filter((path) => !reached.includes(path))).toEqual([]);
    expect(linked('README.md')).toContain('docs/README.md');
  });
});
