import { describe, expect, test } from 'vitest';
import { findProse, RULES, type TextKind } from '../../scripts/prose/rules.ts';
import { scanProse } from '../../scripts/prose/scan.ts';
import { proseTexts } from '../../scripts/prose/texts.ts';
import { ROOT } from '../support/source-files.ts';

const { files, findings } = await scanProse(ROOT);

describe('prose', () => {
  test('contains no word or construction that the rules replace', () => {
    const wrong = findings.map(({ path, line, found, advice }) => `${path}:${line}: "${found}" -> ${advice}`);
    expect(wrong).toEqual([]);
  });

  test('is read from code, tests, pages, the schema, workflows and examples', () => {
    expect(files.length).toBeGreaterThan(700);
    expect(files).toEqual(
      expect.arrayContaining([
        'README.md',
        'schema.graphql',
        'package.json',
        'src/main.ts',
        'docs/glossary.md',
        '.github/workflows/ci.yml',
        'deploy/grafana/sluice.json',
        'examples/urql-react/src/app.tsx',
        'test/guards/pure-files.test.ts',
      ]),
    );
  });
});

describe('prose rules', () => {
  test.each(RULES.flatMap(({ bad, pattern, kinds }) => bad.map((text) => [text, pattern.source, kinds] as const)))(
    'finds "%s"',
    (text, source, kinds) => {
      const rule = RULES.filter(({ pattern }) => pattern.source === source);
      const found = findProse(text, kinds?.[0] ?? 'comment');
      expect(found.map(({ advice }) => advice)).toContain(rule[0]?.advice);
    },
  );

  test.each(
    RULES.flatMap(({ good = [], advice, kinds }) =>
      good.map((text) => [text, advice, kinds?.[0] ?? 'comment'] as const),
    ),
  )('accepts "%s"', (text, advice, kind) => {
    expect(findProse(text, kind).filter((finding) => finding.advice === advice)).toEqual([]);
  });

  test.each([
    'Unique per account, 1 to 255 characters, never expires. Null if the stream has no records.',
    'Returns the receipt of the first request. Throws a ConflictError if the content differs.',
    'SELECT id FROM runs WHERE account_id = 1',
    'The folder where the database is stored.',
    'Retries read the same snapshot, so they write identical objects.',
    'Rate-limit unauthenticated requests at your proxy, which knows the addresses of clients.',
    'No client is connected. There are no records in this window.',
  ])('accept plain English: %s', (text) => {
    expect(findProse(text, 'comment')).toEqual([]);
  });
});

describe('prose texts', () => {
  const kindsOf = (path: string, source: string, word: string): [TextKind, number][] =>
    proseTexts(path, source).flatMap(({ kind, text, start }) =>
      [...text.matchAll(new RegExp(word, 'g'))].map((match): [TextKind, number] => [kind, start + match.index]),
    );

  test('of code are comments, messages and names of tests, at their offsets', () => {
    const source = [
      '/**',
      ' * Told',
      ' * here.',
      ' */',
      "const told = 'told';",
      '// A client is',
      '// told twice.',
      'const message = `${told} is told`;',
      "test.each([1])('is told', () => {});",
    ].join('\n');
    const found = kindsOf('a.test.ts', source, '[Tt]old').map(([kind, at]) => [kind, source.slice(at, at + 4)]);
    expect(found).toEqual([
      ['comment', 'Told'],
      ['comment', 'told'],
      ['string', 'told'],
      ['title', 'told'],
    ]);
    const [first] = proseTexts('a.ts', '// It runs at\n  // once.');
    expect(findProse(first?.text ?? '', 'comment').map(({ found: words }) => words)).toEqual(['at once']);
  });

  test('of SQL are none', () => {
    expect(proseTexts('a.ts', 'const query = `SELECT told FROM x WHERE told`;')).toEqual([]);
  });

  test('of a page are its sentences, across lines, without code and without what a glossary rejects', () => {
    const page =
      'It runs at\nonce.\n\nUse `at once`.\n\n- Not: at once\n\n| instead of | write |\n| --- | --- |\n| at once | now |\n';
    const [text] = proseTexts('a.md', page);
    expect(findProse(text?.text ?? '', 'markdown').map(({ at }) => page.slice(at, at + 7))).toEqual(['at\nonce']);
  });

  test('of a schema are its descriptions', () => {
    const schema = '"""Told of it."""\ntype Told {\n  """\n  It is\n  told.\n  """\n  told: Int\n}\n';
    expect(kindsOf('schema.graphql', schema, '[Tt]old').length).toBe(2);
  });
});
