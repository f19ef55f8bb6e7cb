import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { describeSettings } from '../../src/config/config.ts';

test('the settings in the README are those of the program, with their defaults and meanings', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const table = readme.split('<!-- settings -->')[1]?.split('<!-- /settings -->')[0] ?? '';
  const rows = table
    .trim()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(rows).toEqual(
    describeSettings().map(({ name, defaultText, description }) => [`\`${name}\``, defaultText, description]),
  );
  expect(rows.length).toBeGreaterThan(20);
});
