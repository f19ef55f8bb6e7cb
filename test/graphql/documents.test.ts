import { parse } from 'graphql';
import { describe, expect, test } from 'vitest';
import { createDocumentCache } from '../../src/graphql/plugins/document-cache.ts';
import { findExceededLimit } from '../../src/graphql/plugins/document-limits.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';

const schema = createSchema();
const LIMITS = {
  maxTokens: 50_000,
  maxDepth: 30,
  maxFields: 1000,
  maxAliases: 250,
  maxCost: 250_000,
  maxPage: 100,
};
const refusalOf = (query: string, limits = LIMITS): string | null =>
  findExceededLimit(schema, parse(query), limits)?.message ?? null;

describe('document limits', () => {
  test('reject a short document whose fragments multiply, without expanding them', () => {
    const last = 20;
    const fragments = Array.from({ length: last }, (_, index) => {
      const next = index + 1 < last ? `...F${index + 1}` : 'id';
      return `fragment F${index} on Stream { a: operations(first: 1) { edges { node { stream { ${next} } } } } b: operations(first: 1) { edges { node { stream { ${next} } } } } }`;
    });
    const times = Array.from({ length: 5 }, () => {
      const begun = performance.now();
      expect(refusalOf(`{ stream(name: "x") { ...F0 } } ${fragments.join(' ')}`)).toContain(
        'nested deeper than 30 levels',
      );
      return performance.now() - begun;
    });
    expect(Math.min(...times)).toBeLessThan(200);
  });

  test('leave fragments that spread themselves to validation', () => {
    expect(
      refusalOf('{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A accountName }'),
    ).toBeNull();
  });

  test('count depth through inline and named fragments', () => {
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
      'jobs(first: 20) { edges { node { runs(first: 20) { edges { node { job { runs(first: 3) { edges { node { id } } } } } } } } } }',
      true,
    ],
    // Each page has one run, and each of 10,000 runs would take a further statement.
    [
      'jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs(first: 1) { edges { node { id } } } } } } } } } }',
      false,
    ],
    [
      'runs(first: 100) { edges { node { id job { id jobName cron nextRuns } objects { key rows } } } totalCount }',
      true,
    ],
    [
      'streams(first: 100) { edges { node { firstTimestamp records(first: 100) { edges { node { value } } } } } }',
      true,
    ],
    // Selections below several ids count for each id.
    [
      'nodes(ids: ["a", "b"]) { ... on Job { runs(first: 100) { edges { node { job { runs { edges { node { id } } } } } } } } }',
      true,
    ],
    [
      `nodes(ids: [${'"a" '.repeat(100)}]) { ... on Job { runs(first: 100) { edges { node { job { runs { edges { node { id } } } } } } } } }`,
      false,
    ],
    ['jobs(first: 100) { edges { node { nextRuns(first: 100) } } }', true],
    [
      'jobs(first: 100) { edges { node { nextRuns(first: 100) a: nextRuns(first: 100) b: nextRuns(first: 100) } } }',
      false,
    ],
    // A negative size does not reduce the cost; the resolver rejects it.
    [
      'jobs(first: -100) { totalCount } a: jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs { edges { node { id } } } } } } } } } }',
      false,
    ],
  ])('measure the cost of %s', (selection, isTaken) => {
    expect(refusalOf(`{ ${selection} }`) === null).toBe(isTaken);
  });

  test.each([
    ['usage(input: {}) { __typename }', 12],
    ['checkJob(input: {}) { __typename }', 12],
    ['__schema { types { fields { args { name description type { name kind } } } } }', 30],
  ])('allow %s %i times under aliases, but not any number of times', (field, times) => {
    const document = (count: number) =>
      `${field.startsWith('check') ? 'mutation' : 'query'} { ${Array.from({ length: count }, (_, index) => `a${index}: ${field}`).join(' ')} }`;
    expect(refusalOf(document(times))).toBeNull();
    expect(refusalOf(document(2 * times))).toContain('costs more than 250000');
  });

  test('reject a chain of fragments at the depth limit when the chain is much longer', () => {
    const chain = Array.from({ length: 20_000 }, (_, index) => `fragment F${index} on Query { ...F${index + 1} }`);
    const limits = { ...LIMITS, maxFields: 1_000_000 };
    expect(refusalOf(`{ ...F0 } ${chain.join(' ')} fragment F20000 on Query { __typename }`, limits)).toContain(
      'nested deeper than 30 levels',
    );
  });

  test('count spreads like fields, because validation compares the selections of a place pairwise', () => {
    const spreads = (count: number) => `{ ${'...F '.repeat(count)} } fragment F on Query { __typename }`;
    expect(refusalOf(spreads(999))).toBeNull();
    expect(refusalOf(spreads(1000))).toContain('more than 1000 fields and fragments');
  });

  test('read the size when another size argument is null', () => {
    const query = (sizes: string) =>
      `{ jobs(first: 100) { edges { node { runs(${sizes}) { edges { node { objects { key } } } } } } } }`;
    expect(refusalOf(query('first: 5'))).toBeNull();
    expect(refusalOf(query('first: null, last: 100'))).toContain('costs more than');
  });

  test('count a size in a variable as the maximum page size', () => {
    const query = (size: string) =>
      `query ($n: Int = 1) { jobs(first: ${size}) { edges { node { runs(first: ${size}) { edges { node { job { runs(first: ${size}) { edges { node { id } } } } } } } } } } }`;
    expect(refusalOf(query('1'))).toBeNull();
    expect(refusalOf(query('$n'))).toContain('costs more than 250000');
  });
});

describe('document cache', () => {
  test('returns documents, and evicts the least recently used one first', () => {
    const cache = createDocumentCache<number>();
    for (let index = 0; index < 256; index += 1) cache.set(`{ a${index} }`, index);
    expect(cache.get('{ a0 }')).toBe(0);
    cache.set('{ b }', 7);
    expect(cache.get('{ a0 }')).toBe(0);
    expect(cache.get('{ a1 }')).toBeUndefined();
    expect(cache.get('{ b }')).toBe(7);
  });

  test('ignores long documents, which contain their records inline', () => {
    const cache = createDocumentCache<number>();
    const large = `{ a(text: "${'x'.repeat(5000)}") }`;
    cache.set(large, 1);
    expect(cache.get(large)).toBeUndefined();
  });
});
