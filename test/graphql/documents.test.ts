import { parse } from 'graphql';
import { describe, expect, test } from 'vitest';
import { createDocumentCache } from '../../src/graphql/document-cache.ts';
import { weighDocument } from '../../src/graphql/document-limits.ts';
import { createSchema } from '../../src/graphql/schema.ts';

const schema = createSchema();
const refusalOf = (query: string): string | null => weighDocument(schema, parse(query))?.message ?? null;

describe('what a document may ask for', () => {
  test('a short one whose fragments multiply is refused, and soon', () => {
    const last = 20;
    const fragments = Array.from({ length: last }, (_, index) => {
      const next = index + 1 < last ? `...F${index + 1}` : 'id';
      return `fragment F${index} on Stream { a: operations(first: 1) { edges { node { stream { ${next} } } } } b: operations(first: 1) { edges { node { stream { ${next} } } } } }`;
    });
    const begun = performance.now();
    expect(refusalOf(`{ stream(name: "x") { ...F0 } } ${fragments.join(' ')}`)).toMatch(/nested deeper|more than/);
    expect(performance.now() - begun).toBeLessThan(200);
  });

  test('fragments that spread themselves end, and are left to validation', () => {
    expect(
      refusalOf('{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A accountName }'),
    ).toBeNull();
  });

  test('depth counts through fragments, inline ones and named ones', () => {
    const spread = Array.from(
      { length: 31 },
      (_, index) => `fragment F${index} on Query { ${index < 30 ? `...F${index + 1}` : '__typename'} }`,
    );
    expect(refusalOf(`{ ...F0 } ${spread.join(' ')}`)).toContain('nested deeper than 30 levels');
    expect(refusalOf(`{ ${'... on Query { '.repeat(30)} __typename ${'}'.repeat(30)} }`)).toContain(
      'nested deeper than 30 levels',
    );
    expect(refusalOf(`{ ${'... on Query { '.repeat(29)} __typename ${'}'.repeat(29)} }`)).toBeNull();
  });

  test.each([
    [
      'jobs(first: 100) { edges { node { id jobName runs(first: 100) { edges { node { id status rowsWritten error { code } } } } } } }',
      true,
    ],
    [
      'jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs(first: 3) { edges { node { id } } } } } } } } } }',
      true,
    ],
    [
      'jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs { edges { node { id } } } } } } } } } }',
      false,
    ],
    // A size below nothing takes nothing away from the rest, and is refused where it is read.
    [
      'jobs(first: -100) { totalCount } a: jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs { edges { node { id } } } } } } } } } }',
      false,
    ],
  ])('%s', (selection, isTaken) => {
    expect(refusalOf(`{ ${selection} }`) === null).toBe(isTaken);
  });

  test('a size in a variable counts as the largest page', () => {
    const query = (size: string) =>
      `query ($n: Int = 1) { jobs(first: ${size}) { edges { node { runs(first: ${size}) { edges { node { job { runs(first: ${size}) { edges { node { id } } } } } } } } } } }`;
    expect(refusalOf(query('1'))).toBeNull();
    expect(refusalOf(query('$n'))).toContain('more than 250000 fields');
  });
});

describe('documents that are kept', () => {
  test('are given back, the one longest not asked for is forgotten first', () => {
    const cache = createDocumentCache<number>();
    for (let index = 0; index < 256; index += 1) cache.set(`{ a${index} }`, index);
    expect(cache.get('{ a0 }')).toBe(0);
    cache.set('{ b }', 7);
    expect(cache.get('{ a0 }')).toBe(0);
    expect(cache.get('{ a1 }')).toBeUndefined();
    expect(cache.get('{ b }')).toBe(7);
  });

  test('are not those that carry their records inline', () => {
    const cache = createDocumentCache<number>();
    const large = `{ a(text: "${'x'.repeat(5000)}") }`;
    cache.set(large, 1);
    expect(cache.get(large)).toBeUndefined();
  });
});
