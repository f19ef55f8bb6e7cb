import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT } from '../support/source-files.ts';

// Reads the documentation (README.md, ARCHITECTURE.md and docs/) as pages of fenced blocks.

/**
 * A comment before a block that says how the block is tested:
 *
 * - `<!-- extract: why -->` the block is not run, with the reason
 * - `<!-- tried by test/...: name -->` the named test runs the block, which it reads from the page by `triedBlock()`
 * - `<!-- server -->` the block starts a server that runs until Ctrl-C, in a terminal of its own
 * - `<!-- stopped -->` the block is typed after Ctrl-C in the terminal of the last server
 * - `<!-- fails -->` the last command of the block exits with a code other than 0
 */
export type Mark =
  | { readonly kind: 'extract'; readonly why: string }
  | { readonly kind: 'tried'; readonly file: string; readonly name: string }
  | { readonly kind: PlainMark };

export interface Block {
  /** Line number of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  readonly mark: Mark | null;
  /** The previous block of the same section, or null. */
  readonly follows: Block | null;
}

export interface Page {
  /** Relative to the root of the checkout. */
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

/** Returns the fenced blocks of a Markdown text in order. Throws if a fence is not closed. */
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
    if (end === -1) throw new Error(`line ${at + 1}: this block is not closed`);
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

/** Whether a block shows the output of the shell block before it, with which the tests compare it. */
export const isOutput = (block: Block): boolean =>
  ['json', 'text'].includes(block.language) &&
  block.mark === null &&
  block.follows?.language === 'sh' &&
  (block.follows.mark === null || ['stopped', 'fails'].includes(block.follows.mark.kind));

async function findPages(folder: string): Promise<string[]> {
  const names = await readdir(join(ROOT, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => `${folder}/${name}`);
}

/** Returns README.md, ARCHITECTURE.md and every page in docs/, sorted by path. */
export async function readPages(): Promise<Page[]> {
  return readMarkdown(['ARCHITECTURE.md', 'README.md', ...(await findPages('docs'))]);
}

/** Returns every Markdown file of the repository, sorted by path. */
export async function readAllMarkdown(): Promise<Page[]> {
  const atRoot = (await readdir(ROOT)).filter((name) => name.endsWith('.md'));
  const folders = await Promise.all(['.github', 'conventions', 'diagrams', 'docs', 'examples'].map(findPages));
  return readMarkdown([...atRoot, ...folders.flat()]);
}

async function readMarkdown(paths: readonly string[]): Promise<Page[]> {
  return Promise.all(
    paths.toSorted().map(async (path) => {
      const text = await readFile(join(ROOT, path), 'utf8');
      try {
        return { path, text, blocks: blocksOf(text) };
      } catch (cause) {
        throw new Error(`${path}: ${String(cause)}`, { cause });
      }
    }),
  );
}

/** Returns the text of the block that a page marks with `tried by` and this name. */
export const triedBlock = async (path: string, name: string): Promise<string> => {
  const blocks = blocksOf(await readFile(join(ROOT, path), 'utf8'));
  const [block, another] = blocks.filter(({ mark }) => mark?.kind === 'tried' && mark.name === name);
  if (!block || another) throw new Error(`${path} must have exactly one block marked with the name "${name}".`);
  return block.text;
};

/** Returns the blocks of a page that a shell runs, in order. */
export const sessionOf = (page: Page): Block[] =>
  page.blocks.filter(
    ({ language, mark }) => language === 'sh' && (mark === null || ['server', 'stopped', 'fails'].includes(mark.kind)),
  );

/** Returns the targets of the links of a page, except those inside blocks. */
export const linksOf = (page: Page): string[] => {
  const prose = page.text.replaceAll(/^( *)(`{3,})[\s\S]*?^\1\2$/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
};

/** Returns the file that a link points to, relative to the root of the checkout. Null if the link points to another host. */
export const targetOf = (
  page: Page,
  link: string,
): { readonly path: string; readonly heading: string | null } | null => {
  if (/^[a-z]+:/.test(link)) return null;
  const [file = '', heading] = link.split('#');
  return { path: file === '' ? page.path : join(dirname(page.path), file), heading: heading ?? null };
};
