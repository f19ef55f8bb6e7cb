import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSourceFiles, ROOT } from '../support/source-files.ts';

/** A part of a page whose names belong together: a paragraph, a list item, or a table row. */
interface Passage {
  readonly line: number;
  readonly text: string;
}

const page = await readFile(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
const sources = new Map((await readSourceFiles('src')).map(({ path, text }) => [path, text]));
/** Paths of sources and tests. */
const tracked = (await readSourceFiles('src', 'test')).map(({ path }) => path);

const passagesOf = (markdown: string): Passage[] => {
  const passages: { line: number; text: string }[] = [];
  let isFenced = false;
  let begins = true;
  for (const [index, line] of markdown.split('\n').entries()) {
    const isFence = line.startsWith('```');
    if (isFence) isFenced = !isFenced;
    if (isFence || isFenced || line.trim() === '') {
      begins = true;
      continue;
    }
    if (begins || /^(?:\s*(?:-|\d+\.) |\||#)/.test(line)) passages.push({ line: index + 1, text: line });
    else (passages.at(-1) as { text: string }).text += ` ${line.trim()}`;
    begins = false;
  }
  return passages;
};

const namesIn = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

const declares = (text: string, name: string): boolean =>
  new RegExp(
    String.raw`(?:\bfunction\*?|\bconst|\bclass)\s+${name}\b|^ +(?:async )?\*?${name}\(.*\{$|^ +${name}: (?:async )?\(`,
    'm',
  ).test(text);

const exists = (path: string): Promise<boolean> =>
  stat(join(ROOT, path)).then(
    () => true,
    () => false,
  );

/** Returns the function that a name such as `write()` denotes. Null for other names, such as those of SQL functions. */
const functionOf = (name: string): string | null => /^([a-zA-Z0-9]+)\(\)$/.exec(name)?.[1] ?? null;
const isPath = (name: string): boolean => /^[\w.-]+\/[\w./-]*$/.test(name);

/** Returns the wrong names of a passage. Each function must be declared in the last file named before it. */
const problemsOf = async ({ line, text }: Passage): Promise<string[]> => {
  const problems: string[] = [];
  let file: string | null = null;
  for (const name of namesIn(text)) {
    const called = functionOf(name);
    if (isPath(name)) {
      // A layer may name a file of `src` as the guard of imports does.
      if (!(await exists(name)) && !(await exists(`src/${name}.ts`)))
        problems.push(`line ${line}: there is no ${name}`);
      file = name;
    } else if (called !== null && file === null) {
      problems.push(`line ${line}: name the file of ${name} before it`);
    } else if (called !== null) {
      if (!declares(sources.get(file ?? '') ?? '', called))
        problems.push(`line ${line}: ${file} does not declare ${name}`);
    } else if (!sources.values().some((source) => source.includes(name)) && !(await exists(name))) {
      problems.push(`line ${line}: ${name} is in no source`);
    }
  }
  return problems;
};

const problemsIn = async (markdown: string): Promise<string[]> =>
  (await Promise.all(passagesOf(markdown).map(problemsOf))).flat();

const sectionOf = (heading: string): string =>
  page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';

describe('ARCHITECTURE.md', () => {
  test('names only files, folders and functions that exist', async () => {
    expect(await problemsIn(page)).toEqual([]);
    const names = passagesOf(page).flatMap(({ text }) => namesIn(text));
    expect(names.filter(isPath).length).toBeGreaterThan(100);
    expect(names.filter((name) => functionOf(name) !== null).length).toBeGreaterThan(80);
  });

  test.each([
    ['`src/streams/write.ts`: `write()`', []],
    ['`src/streams/none.ts`', ['line 1: there is no src/streams/none.ts']],
    ['`src/streams/write.ts`: `rewrite()`', ['line 1: src/streams/write.ts does not declare rewrite()']],
    // A function that is only called in the file.
    [
      '`src/streams/write.ts`: `insertOperation()`',
      ['line 1: src/streams/write.ts does not declare insertOperation()'],
    ],
    ['1. `src/streams/write.ts`\n2. `write()`', ['line 2: name the file of write() before it']],
    ['`unheardOfName`', ['line 1: unheardOfName is in no source']],
    ['`src/exports/object-writer.ts`: `putManifest()`', []],
    ['```mermaid\n`nothing`\n```', []],
  ])('reports what is wrong in %j', async (text, problems) => {
    expect(await problemsIn(text)).toEqual(problems);
  });

  test('describes every folder of src, and mentions every file next to them', async () => {
    const entries = await readdir(join(ROOT, 'src'), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => `src/${name}/`);
    const section = sectionOf('Folders');
    const rows = section.split('\n').flatMap((line) => /^\| `([^`]+)`/.exec(line)?.[1] ?? []);
    expect(rows.toSorted()).toEqual(folders.toSorted());
    const loose = entries.filter((entry) => entry.isFile()).map(({ name }) => `src/${name}`);
    expect(loose.filter((path) => !namesIn(section).includes(path))).toEqual([]);
    expect(loose.length).toBeGreaterThan(3);
  });

  test('lists the layers of the import guard in the same order', async () => {
    const guard = await readFile(join(ROOT, 'test/guards/import-direction.test.ts'), 'utf8');
    const [, layers = ''] = /const LAYERS = \[\n([\s\S]*?)\n\] as const;/.exec(guard) ?? [];
    const expected = layers.split('\n').map((line) => [...line.matchAll(/'([^']+)'/g)].map(([, part]) => part));
    const items = passagesOf(sectionOf('Layers')).filter(({ text }) => /^\d+\. /.test(text));
    expect(items.map(({ text }) => namesIn(text.split(': ')[0] ?? ''))).toEqual(expected);
    expect(expected.length).toBeGreaterThan(10);
  });
});

describe('docs/decisions', async () => {
  const folder = join(ROOT, 'docs/decisions');
  const names = (await readdir(folder)).filter((name) => name !== 'README.md').toSorted();
  const pages = await Promise.all(
    names.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })),
  );

  test('has an index of every page', async () => {
    const index = await readFile(join(folder, 'README.md'), 'utf8');
    expect([...index.matchAll(/\]\((\d{4}-[\w-]+\.md)\)/g)].map(([, name]) => name)).toEqual(names);
    expect(names.length).toBeGreaterThan(10);
  });

  test('has the same headings on every page', () => {
    const expected = ['Context', 'Decision', 'Evidence', 'Impact of a change', 'Status'].map((one) => `## ${one}`);
    expect(pages.map(({ text }) => text.match(/^## .*$/gm))).toEqual(pages.map(() => expected));
  });

  test('names only files and functions that exist when the decision is accepted', async () => {
    const accepted = pages.filter(({ text }) => text.includes('\n## Status\n\nAccepted'));
    const wrong: string[] = [];
    for (const { name, text } of accepted) {
      for (const named of passagesOf(text).flatMap((passage) => namesIn(passage.text))) {
        const called = functionOf(named);
        const isValid =
          called !== null
            ? sources.values().some((source) => declares(source, called))
            : /^(?:src|test|docs|bench|scripts)\//.test(named)
              ? await exists(named)
              : !/^[\w.-]+\.ts$/.test(named) || tracked.some((path) => path.endsWith(`/${named}`));
        if (!isValid) wrong.push(`${name}: ${named}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(accepted.length).toBeGreaterThan(5);
  });
});
