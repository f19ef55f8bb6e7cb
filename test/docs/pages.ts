import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT } from '../support/source-files.ts';

// The pages for people: the README, the page on architecture and all pages below docs/, cut into their fenced blocks.

/**
 * What a comment before a block says of it:
 *
 * - `<!-- extract: why -->` it is not run, and why
 * - `<!-- tried by test/...: name -->` a test of its own runs it, which takes it out of the page by this name
 * - `<!-- server -->` it starts a server and goes on until Ctrl-C, in a terminal of its own
 * - `<!-- stopped -->` it is typed after Ctrl-C in the terminal of the server that was started last
 * - `<!-- fails -->` its last command ends with another code than 0, as the page says
 */
export type Mark =
  | { readonly kind: 'extract'; readonly why: string }
  | { readonly kind: 'tried'; readonly file: string; readonly name: string }
  | { readonly kind: PlainMark };

export interface Block {
  /** Of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  readonly mark: Mark | null;
  /** The block before it, where nothing but a few words stand between them. */
  readonly follows: Block | null;
}

export interface Page {
  /** From the root of the checkout. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

type PlainMark = 'server' | 'stopped' | 'fails';

const FENCE = /^( *)(`{3,}|~{3,})(.*)$/;
const MARK = /^<!-- *(?:extract: (?<why>.+?)|tried by (?<file>\S+): (?<name>.+?)|(?<plain>server|stopped|fails)) *-->$/;

const markOf = (line: string): Mark | null => {
  const groups = MARK.exec(line.trim())?.groups;
  if (!groups) return null;
  const { why, file, name, plain } = groups;
  if (why !== undefined) return { kind: 'extract', why };
  if (file !== undefined && name !== undefined) return { kind: 'tried', file, name };
  return { kind: plain as PlainMark };
};

/** The fenced blocks of a Markdown text in order. Throws where a fence is not closed. */
export const blocksOf = (markdown: string): Block[] => {
  const lines = markdown.split('\n');
  const blocks: Block[] = [];
  let mark: Mark | null = null;
  let before: Block | null = null;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const fence = FENCE.exec(line);
    if (!fence) {
      if (line.startsWith('#')) before = null;
      if (line.trim() !== '') mark = markOf(line);
      continue;
    }
    const [, indent = '', ticks = '', info = ''] = fence;
    const end = lines.findIndex((other, index) => index > at && other.trim() === ticks);
    if (end === -1) throw new Error(`line ${at + 1}: this block is never closed`);
    const block: Block = {
      line: at + 1,
      language: info.trim(),
      text: lines
        .slice(at + 1, end)
        .map((inner) => (inner.startsWith(indent) ? inner.slice(indent.length) : inner))
        .join('\n'),
      mark,
      follows: before,
    };
    blocks.push(block);
    before = block;
    mark = null;
    at = end;
  }
  return blocks;
};

/** What a page says that the shell block before it prints: it is compared, and is no block to be run. */
export const isOutput = (block: Block): boolean =>
  ['json', 'text'].includes(block.language) &&
  block.mark === null &&
  block.follows?.language === 'sh' &&
  (block.follows.mark === null || ['stopped', 'fails'].includes(block.follows.mark.kind));

/** The README, the page on architecture and every page below docs/, by path. */
export const readPages = async (): Promise<Page[]> => {
  const below = await readdir(join(ROOT, 'docs'), { recursive: true });
  const paths = [
    'ARCHITECTURE.md',
    'README.md',
    ...below.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ].toSorted();
  return Promise.all(
    paths.map(async (path) => {
      const text = await readFile(join(ROOT, path), 'utf8');
      try {
        return { path, text, blocks: blocksOf(text) };
      } catch (cause) {
        throw new Error(`${path}: ${String(cause)}`, { cause });
      }
    }),
  );
};

/** What a test that is named above a block calls to have it: its text, as it stands in the page. */
export const triedBlock = async (path: string, name: string): Promise<string> => {
  const blocks = blocksOf(await readFile(join(ROOT, path), 'utf8'));
  const [block, another] = blocks.filter(({ mark }) => mark?.kind === 'tried' && mark.name === name);
  if (!block || another) throw new Error(`${path} has not one block "${name}" that is tried by a test.`);
  return block.text;
};

/** What a shell runs of the page, in order; none where all of it is marked. */
export const sessionOf = (page: Page): Block[] =>
  page.blocks.filter(
    ({ language, mark }) => language === 'sh' && (mark === null || ['server', 'stopped', 'fails'].includes(mark.kind)),
  );

/** The addresses of the links of a page, without what is inside blocks. */
export const linksOf = (page: Page): string[] => {
  const prose = page.text.replaceAll(/^( *)(`{3,})[\s\S]*?^\1\2$/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
};

/** The file that a link of the page leads to, from the root of the checkout; null where it leads elsewhere. */
export const targetOf = (
  page: Page,
  link: string,
): { readonly path: string; readonly heading: string | null } | null => {
  if (/^[a-z]+:/.test(link)) return null;
  const [file = '', heading] = link.split('#');
  return { path: file === '' ? page.path : join(dirname(page.path), file), heading: heading ?? null };
};
