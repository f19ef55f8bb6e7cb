import fc from 'fast-check';
import { coerceInputValue, type GraphQLInputType, parseType, typeFromAST } from 'graphql';
import { expect, test } from 'vitest';
import { toPlainRecords } from '../../src/graphql/plugins/fast-path-variables.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';

// Compares the fast path of variables with the coercion of graphql.

const type = typeFromAST(createSchema(), parseType('[AllocationRecordInput!]')) as GraphQLInputType;

const text = fc.constantFrom('2026-01-25T00:00:00Z', 'hooli', '', 'DAILY');
const scalar = fc.constantFrom<unknown>(null, 0, 1.5, true, 'text', [], {}, undefined);
const entry = fc.oneof(
  { weight: 5, arbitrary: fc.record({ dimension: text, values: fc.array(text, { maxLength: 3 }) }) },
  fc.record({ dimension: scalar, values: fc.oneof(scalar, fc.array(scalar)) }, { requiredKeys: [] }),
  fc.record({ dimension: text, values: fc.array(text), more: scalar }, { requiredKeys: ['dimension', 'values'] }),
);
const record = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record(
      {
        timestamp: text,
        granularity: fc.constantFrom('HOURLY', 'DAILY', 'MONTHLY'),
        filter: fc.array(entry, { maxLength: 3 }),
        elementName: text,
        value: fc.oneof(fc.constantFrom('12.5', 'x'), fc.double(), fc.integer()),
      },
      { requiredKeys: ['timestamp', 'granularity', 'elementName', 'value'] },
    ),
  },
  fc.record(
    {
      timestamp: fc.oneof(text, scalar),
      granularity: fc.oneof(text, scalar),
      filter: fc.oneof(fc.array(entry), scalar),
      elementName: fc.oneof(text, scalar),
      value: fc.oneof(text, scalar),
      more: scalar,
    },
    { requiredKeys: [] },
  ),
  scalar,
);

/** Objects of the coercion have no prototype. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, one: unknown) => (Number.isNaN(one) ? 'NaN' : one)));

test('toPlainRecords > returns what the coercion of graphql returns when it accepts a list', () => {
  let passed = 0;
  let coerced = 0;
  fc.assert(
    fc.property(fc.array(record, { maxLength: 4 }), (list) => {
      const records = toPlainRecords(list);
      const general = coerceInputValue(list, type);
      if (general === undefined) expect(records).toBeNull();
      else coerced += 1;
      if (records === null) return;
      passed += 1;
      expect(plain(records)).toEqual(plain(general));
    }),
    { numRuns: 5000 },
  );
  expect(passed).toBeGreaterThan(500);
  expect(coerced).toBeGreaterThanOrEqual(passed);
});
