import { expect, test } from 'vitest';
import { compareEdits } from '../../src/cli/job-view.ts';

const base = { range: 'ago(1d)', email: 'a@example.com', format: 'CSV', groupBy: ['element'] };

test('compareEdits > returns the settings that either edit changes, with the value before both', () => {
  const stored = { ...base, range: 'ago(2d)', format: 'JSON' };
  expect(compareEdits(base, stored, { range: 'ago(7d)', email: null, groupBy: ['element'] })).toEqual([
    { field: 'email', base: 'a@example.com', stored: 'a@example.com', wanted: null },
    { field: 'format', base: 'CSV', stored: 'JSON', wanted: 'CSV' },
    { field: 'range', base: 'ago(1d)', stored: 'ago(2d)', wanted: 'ago(7d)' },
  ]);
});

test('compareEdits > returns only the own changes when the settings before are not known', () => {
  const stored = { ...base, range: 'ago(2d)' };
  expect(compareEdits(null, stored, { range: 'ago(7d)', format: 'CSV' })).toEqual([
    { field: 'range', base: undefined, stored: 'ago(2d)', wanted: 'ago(7d)' },
  ]);
});
