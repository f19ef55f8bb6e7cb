import pLimit from 'p-limit';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ISSUE_CODES } from '../../src/errors/issue-codes.ts';
import { startTestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { ROOT, readSourceFiles } from '../support/source-files.ts';

const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');

test('docs/reference/graphql.md > has a line for every type, field, argument and value of the schema', async () => {
  const [schema, page] = [await read('schema.graphql'), await read('docs/reference/graphql.md')];
  const roots = new Set(['Query', 'Mutation', 'Subscription']);
  let inside = '';
  const missing: string[] = [];
  let looked = 0;
  for (const line of schema.replaceAll(/"""[\s\S]*?"""/g, '').split('\n')) {
    const [, kind, name] = /^(type|input|enum|interface|union|scalar) (\w+)/.exec(line) ?? [];
    if (kind && name) inside = name;
    const [, field] = /^ {2}(\w+)/.exec(line) ?? [];
    const [, argument] = /^ {4}(\w+)/.exec(line) ?? [];
    const part = page
      .split(/^(?=### |## )/m)
      .filter((one) => one.startsWith(`### ${inside}\n`))
      .join('');
    const isThere = roots.has(inside)
      ? field === undefined || page.includes(`### ${inside}.${field}\n`)
      : part !== '' && [field, argument].every((one) => one === undefined || part.includes(`- \`${one}\`: `));
    if (inside !== '' && (name ?? field ?? argument) !== undefined) looked += 1;
    if (inside !== '' && !isThere) missing.push(`${inside}: ${line.trim()}`);
  }
  expect(missing).toEqual([]);
  expect(looked).toBeGreaterThan(300);
});

test('docs/reference/rest.md > has every route of the OpenAPI document of a server', async () => {
  const server = await startTestServer({ env: { ROLE: 'api' } });
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as Record<
    'paths',
    Record<string, object>
  >;
  await server.stop();
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const page = await read('docs/reference/rest.md');
  expect(routes.filter((route) => !page.includes(`### ${route}\n`))).toEqual([]);
  expect(routes.length).toBeGreaterThan(20);
});

test('docs/reference/errors.md > has every issue code, each of which is used', async () => {
  const page = await read('docs/reference/errors.md');
  const sources = (await readSourceFiles('src')).filter(({ path }) => path !== 'src/errors/issue-codes.ts');
  const codes = Object.keys(ISSUE_CODES);
  expect(codes.filter((code) => !page.includes(`- \`${code}\`: `))).toEqual([]);
  expect(codes.filter((code) => !sources.some(({ code: text }) => text.includes(`'${code}'`)))).toEqual([]);
  expect(codes.length).toBeGreaterThan(40);
});

test('docs/reference/errors.md > has every S3 error', async () => {
  const page = await read('docs/reference/errors.md');
  const explanations = (await read('src/exports/s3-explanations.ts')).match(
    /(?<=^(?:export )?const \w+: Explanation = \{\n {2}code: ')\w+/gm,
  );
  expect(explanations?.filter((code) => !page.includes(`- \`${code}\`: `))).toEqual([]);
  expect(explanations?.length).toBeGreaterThan(20);
});

test('docs/reference/commands.md > has every option with its values and defaults, as --help shows them', async () => {
  const page = await read('docs/reference/commands.md');
  const { stdout: first } = await runSluice('cli', ['--help'], {});
  const names = [...page.matchAll(/^## (.+)$/gm)].map(([, name = '']) => name);
  expect(new Set(names.map((name) => name.split(' ')[0]))).toEqual(
    new Set(
      [...(first.split('Commands:')[1]?.split('Exit codes:')[0] ?? '').matchAll(/^ {2}([\w-]+)/gm)].map(
        ([, name]) => name,
      ),
    ),
  );
  const missing: string[] = [];
  let looked = 0;
  const atOnce = pLimit(4);
  const helps = await Promise.all(
    names.map((name) => atOnce(() => runSluice('cli', [...name.split(' '), '--help'], {}))),
  );
  for (const [index, name] of names.entries()) {
    const { stdout: help } = helps[index] ?? { stdout: '' };
    const [, section = ''] = page.split(`## ${name}\n`);
    // Lines of --help are wrapped; each option begins a line.
    for (const option of (help.split('Options:')[1] ?? '').split(/\n {2}(?=-)/).slice(1)) {
      const [, flags = ''] = /^((?:--?\w+, )?\S+(?: <[^>]+>)?)/.exec(option) ?? [];
      if (flags === '-h, --help') continue;
      const line = section.split('\n').find((one) => one.startsWith(`- \`${flags}\``)) ?? '';
      const words = option.replaceAll(/\s+/g, ' ');
      const values = [
        ...[...(/choices: ([^)]*?)(?:, default|\))/.exec(words)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
          ([, one]) => one,
        ),
        ...[...words.matchAll(/default: "?([^")]+)"?\)/g)].flatMap(([, one]) =>
          one === 'false' ? [] : [`default: ${one}`],
        ),
      ];
      looked += values.length;
      if (line === '' || !values.every((one) => line.includes(one ?? ''))) missing.push(`${name} ${words}`);
      // Defaults must be readable: no long numbers or objects.
      if (/default: (?:\d{5,}\)|\[|\{)/.test(words)) missing.push(`${name} ${words}`);
    }
  }
  expect(missing).toEqual([]);
  expect(looked).toBeGreaterThan(15);
});
