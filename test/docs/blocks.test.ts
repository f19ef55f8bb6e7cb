import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, parse, specifiedRules, validate } from 'graphql';
import { describe, expect, test } from 'vitest';
import { ROOT, readSourceFiles } from '../support/source-files.ts';
import {
  type Block,
  blocksOf,
  isOutput,
  linksOf,
  type Page,
  readAllMarkdown,
  readPages,
  sessionOf,
  targetOf,
} from './pages.ts';

const pages = await readPages();
const tests = await readSourceFiles('test');
const schema = buildSchema(await readFile(join(ROOT, 'schema.graphql'), 'utf8'));

/** Returns what is wrong with a block, or null if it is run, parsed, or marked. */
const problemOf = async (page: Page, block: Block): Promise<string | null> => {
  const { language, mark, text } = block;
  if (mark?.kind === 'extract') return null;
  if (mark?.kind === 'tried') {
    const call = `triedBlock('${page.path}', '${mark.name}')`;
    return tests.some(({ path, code }) => path === mark.file && code.includes(`await ${call}`))
      ? null
      : `${mark.file} does not call ${call}`;
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
    // test/clients/diagrams.test.ts parses diagrams with Mermaid.
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

describe('documentation blocks', () => {
  test('are run, parsed, or marked as an extract with the reason', async () => {
    expect(await problemsIn(pages)).toEqual([]);
    expect(pages.flatMap(({ blocks }) => blocks).length).toBeGreaterThan(15);
    expect(pages.flatMap(sessionOf).length).toBeGreaterThan(5);
  });

  test.each([
    ['```sh\ntrue\n```\n\nwords\n\n```text\nsaid\n```', []],
    ['```text\nprinted\n```', ['x.md:1: nothing runs a block of "text": mark it <!-- extract: why -->']],
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
      ["x.md:2: test/docs/none.test.ts does not call triedBlock('x.md', 'one')"],
    ],
    // The test exists, but reads another block of the page.
    [
      '<!-- tried by test/docs/blocks.test.ts: another -->\n```sql\nSELECT\n```',
      ["x.md:2: test/docs/blocks.test.ts does not call triedBlock('x.md', 'another')"],
    ],
    ['<!-- server -->\n```json\n{}\n```', ['x.md:2: a block of json cannot be marked with server']],
    ['```json\n{,}\n```', [expect.stringContaining('x.md:1: SyntaxError')]],
    ['```graphql\n{ viewer { accountName } }\n```', []],
    ['```graphql\n{ viewer { name } }\n```', ['x.md:1: Cannot query field "name" on type "Viewer".']],
    [
      '```sh\ntrue\n```\n# Another part\n```text\nsaid\n```',
      ['x.md:5: nothing runs a block of "text": mark it <!-- extract: why -->'],
    ],
  ])('are checked in %j', async (text, problems) => {
    expect(await problemsIn([{ path: 'x.md', text, blocks: blocksOf(text) }])).toEqual(problems);
  });

  test('throw when a fence is not closed', () => {
    expect(() => blocksOf('```sh\ntrue\n')).toThrow('line 1: this block is not closed');
  });
});

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Returns the anchors that GitHub gives to headings. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

describe('Markdown files', () => {
  test('link to files and headings that exist', async () => {
    const broken: string[] = [];
    let followed = 0;
    for (const page of await readAllMarkdown()) {
      for (const link of linksOf(page)) {
        const target = targetOf(page, link);
        if (!target) continue;
        followed += 1;
        const path = join(ROOT, target.path);
        const hasHeading =
          target.heading === null || anchorsOf(await readFile(path, 'utf8').catch(() => '')).includes(target.heading);
        if (!hasHeading || !(await exists(path))) broken.push(`${page.path}: ${link}`);
      }
    }
    expect(broken).toEqual([]);
    expect(followed).toBeGreaterThan(300);
  });

  test('in docs are reached from docs/README.md, and that from README.md', () => {
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
