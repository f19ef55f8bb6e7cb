import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeSettings } from '../../src/config/config.ts';
import { ROOT } from '../support/source-files.ts';

test('docs/reference/settings.md > lists every setting with its default and meaning', async () => {
  const page = await readFile(join(ROOT, 'docs/reference/settings.md'), 'utf8');
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
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
