import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from '../support/source-files.ts';
import { blocksOf, linksOf, type Page, targetOf } from './pages.ts';

const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');
const exists = (path: string): Promise<boolean> =>
  access(join(ROOT, path)).then(
    () => true,
    () => false,
  );
const missing = async (paths: readonly string[]): Promise<string[]> => {
  const found = await Promise.all(paths.map(exists));
  return paths.filter((_, index) => !found[index]);
};

const FORMS = '.github/ISSUE_TEMPLATE';
const FOLDERS = /^(?:\.ci|\.github|bench|docs|examples|scripts|src|test)\/[\w./-]+$/;

const pages: Page[] = await Promise.all(
  ['CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', '.github/pull_request_template.md'].map(async (path) => {
    const text = await read(path);
    return { path, text, blocks: blocksOf(text) };
  }),
);
const { scripts } = JSON.parse(await read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };

/** Returns npm scripts: `test` of `npm test`, `test:faults` of `FAULTS=short npm run test:faults`. */
const scriptsIn = (text: string): string[] =>
  [...text.matchAll(/\bnpm (?:run (?:-s )?([\w:]+)|(test|start)\b)/g)].map(([, run, other]) => run ?? other ?? '');

/** Returns the code spans outside of blocks. */
const codeIn = ({ text }: Page): string[] =>
  [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);

describe('pages for contributors', () => {
  test('link to files of the repository', async () => {
    const targets = pages.flatMap((page) => linksOf(page).flatMap((link) => targetOf(page, link)?.path ?? []));
    expect(await missing(targets)).toEqual([]);
    expect(targets.length).toBeGreaterThan(30);
  });

  test('name files and folders of the repository', async () => {
    const named = pages
      .flatMap(codeIn)
      .filter((code) => FOLDERS.test(code))
      .map((path) => path.replace(/\/$/, ''));
    expect(await missing(named)).toEqual([]);
    expect(named.length).toBeGreaterThan(10);
  });

  test('name npm scripts of package.json', () => {
    const named = pages.flatMap(({ text }) => scriptsIn(text));
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
    expect(new Set(named).size).toBeGreaterThan(8);
  });

  test('name helpers that exist in the linked files of test/support', async () => {
    const wrong: string[] = [];
    let seen = 0;
    for (const line of pages.flatMap(({ text }) => text.split('\n'))) {
      const files = [...line.matchAll(/\((test\/support\/[\w-]+\.ts)\)/g)].map(([, path = '']) => path);
      if (files.length === 0) continue;
      const texts = (await Promise.all(files.map(read))).join('\n');
      for (const [, name = ''] of line.matchAll(/`(\w+)`/g)) {
        seen += 1;
        if (!new RegExp(`\\b${name}\\b`).test(texts)) wrong.push(`${name}: ${files.join(', ')}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(seen).toBeGreaterThan(10);
  });
});

interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly strategy?: { readonly matrix: { readonly include: readonly { readonly postgresql: number }[] } };
        readonly steps: readonly { readonly run?: string }[];
      }
    >
  >;
}

describe('CI workflow', () => {
  test('runs every suite of .ci/run except the one that needs a cluster', async () => {
    const { jobs } = parse(await read('.github/workflows/ci.yml')) as Workflow;
    const run = scriptsIn(
      Object.values(jobs)
        .flatMap(({ steps }) => steps.map(({ run = '' }) => run))
        .join('\n'),
    );
    const expected = [...(await read('.ci/run')).matchAll(/\brun_tests \w+ ([a-z:]+)|^npm run ([a-z:]+)/gm)].map(
      ([, suite, check]) => suite ?? check ?? '',
    );
    expect(new Set(['test:citus', ...run])).toEqual(new Set(expected));
    expect(new Set(expected).size).toBeGreaterThan(4);
  });

  test('covers the oldest and the newest PostgreSQL', async () => {
    const { jobs } = parse(await read('.github/workflows/ci.yml')) as Workflow;
    const versions = Object.values(jobs).flatMap(({ strategy }) => strategy?.matrix.include ?? []);
    expect(versions.map(({ postgresql }) => postgresql)).toEqual([18, 15]);
  });
});

interface Form {
  readonly name?: string;
  readonly description?: string;
  readonly body?: readonly {
    readonly type: string;
    readonly id?: string;
    readonly attributes: { readonly label?: string; readonly value?: string };
  }[];
}

test('issue forms > have a name, a description and fields that GitHub accepts', async () => {
  const names = (await readdir(join(ROOT, FORMS))).filter((name) => name !== 'config.yml');
  for (const name of names) {
    const { name: title, description, body = [] } = parse(await read(`${FORMS}/${name}`)) as Form;
    expect([title, description].every(Boolean), name).toBe(true);
    const fields = body.filter(({ type }) => type !== 'markdown');
    expect(fields.filter(({ id, attributes }) => !id || !attributes.label)).toEqual([]);
    expect(new Set(fields.map(({ id }) => id)).size, name).toBe(fields.length);
    expect(fields.length, name).toBeGreaterThan(0);
    expect(
      body.filter(({ type }) => !['markdown', 'input', 'textarea', 'dropdown', 'checkboxes'].includes(type)),
    ).toEqual([]);
  }
  expect(names.length).toBeGreaterThan(1);
});
